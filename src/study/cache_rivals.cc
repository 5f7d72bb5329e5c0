#include "study/cache_rivals.h"

#include <algorithm>
#include <cmath>
#include <list>
#include <set>

namespace st {
namespace {

// A list of units by last use, the latest in front.
class LruList {
 public:
  explicit LruList(size_t units) : place_(units), there_(units) {}
  bool has(size_t unit) const { return there_[unit]; }
  size_t size() const { return order_.size(); }
  void push(size_t unit) {
    place_[unit] = order_.insert(order_.begin(), unit);
    there_[unit] = true;
  }
  void erase(size_t unit) {
    order_.erase(place_[unit]);
    there_[unit] = false;
  }
  void touch(size_t unit) { order_.splice(order_.begin(), order_, place_[unit]); }
  size_t pop() {
    const size_t unit = order_.back();
    erase(unit);
    return unit;
  }

 private:
  std::list<size_t> order_;
  std::vector<std::list<size_t>::iterator> place_;
  std::vector<bool> there_;
};

// What they share: all hits of a demand count as used before anything is loaded, so that policies
// ordered by use protect them.
class Rival : public ReplayedPolicy {
 public:
  // Of the layers from `first_layer` on.
  explicit Rival(const RoutingShape& shape, int64_t first_layer = 0)
      : shape_(shape), first_layer_(first_layer) {}

  int64_t serve(const Demand& demand) final {
    begin(demand);
    std::vector<size_t> missing;
    for (const int32_t e : demand.experts) {
      const auto unit = static_cast<size_t>((demand.layer - first_layer_) * shape_.experts + e);
      if (!hit(unit)) missing.push_back(unit);
    }
    for (const size_t unit : missing) load(unit);
    return static_cast<int64_t>(demand.experts.size() - missing.size());
  }

 protected:
  size_t units() const { return static_cast<size_t>(shape_.layers * shape_.experts); }
  virtual void begin(const Demand&) {}
  virtual bool hit(size_t unit) = 0;  // notes the use if it is there
  virtual void load(size_t unit) = 0;

  RoutingShape shape_;
  int64_t first_layer_;
};

class Lru final : public Rival {
 public:
  Lru(const RoutingShape& shape, int64_t slots)
      : Rival(shape), slots_(static_cast<size_t>(slots)), list_(units()) {}
  // Of one layer.
  Lru(const RoutingShape& shape, int64_t slots, int64_t layer)
      : Rival(shape, layer),
        slots_(static_cast<size_t>(slots)),
        list_(static_cast<size_t>(shape.experts)) {}

 private:
  bool hit(size_t unit) override {
    if (list_.has(unit)) list_.touch(unit);
    return list_.has(unit);
  }
  void load(size_t unit) override {
    if (list_.size() == slots_) list_.pop();
    list_.push(unit);
  }

  size_t slots_;
  LruList list_;
};

class LruPerLayer final : public ReplayedPolicy {
 public:
  LruPerLayer(const RoutingShape& shape, int64_t slots) {
    for (int64_t l = 0; l < shape.layers; ++l) {
      const int64_t own = slots / shape.layers + (l < slots % shape.layers ? 1 : 0);
      lists_.push_back(own > 0 ? std::make_unique<Lru>(shape, own, l) : nullptr);
    }
  }
  int64_t serve(const Demand& demand) override {
    const auto& list = lists_[static_cast<size_t>(demand.layer)];
    return list ? list->serve(demand) : 0;
  }

 private:
  std::vector<std::unique_ptr<Lru>> lists_;
};

class Slru final : public Rival {
 public:
  Slru(const RoutingShape& shape, int64_t slots)
      : Rival(shape),
        slots_(static_cast<size_t>(slots)),
        most_proven_(slots_ * 4 / 5),
        fresh_(units()),
        proven_(units()) {}

 private:
  bool hit(size_t unit) override {
    if (proven_.has(unit)) {
      proven_.touch(unit);
      return true;
    }
    if (!fresh_.has(unit)) return false;
    fresh_.erase(unit);
    proven_.push(unit);
    if (proven_.size() > most_proven_) fresh_.push(proven_.pop());
    return true;
  }
  void load(size_t unit) override {
    if (fresh_.size() + proven_.size() == slots_) (fresh_.size() > 0 ? fresh_ : proven_).pop();
    fresh_.push(unit);
  }

  size_t slots_, most_proven_;
  LruList fresh_, proven_;
};

// Counts that decay by the same factor for all stay in order between uses, so log2(count) + time /
// half-life can be the key.
class Lfu final : public Rival {
 public:
  Lfu(const RoutingShape& shape, int64_t slots)
      : Rival(shape), slots_(static_cast<size_t>(slots)), key_(units(), -1e9), in_(units()) {}

 private:
  void begin(const Demand& demand) override {
    if (demand.layer == 0) now_ += static_cast<double>(demand.tokens) / 64;
    for (size_t i = 0; i < demand.experts.size(); ++i) {
      const auto unit = static_cast<size_t>(demand.layer * shape_.experts + demand.experts[i]);
      const bool was_in = in_[unit];
      if (was_in) order_.erase({key_[unit], unit});
      key_[unit] = std::log2(std::exp2(key_[unit] - now_) + demand.counts[i]) + now_;
      if (was_in) order_.insert({key_[unit], unit});
    }
  }
  bool hit(size_t unit) override { return in_[unit]; }
  void load(size_t unit) override {
    if (order_.size() == slots_) {
      in_[order_.begin()->second] = false;
      order_.erase(order_.begin());
    }
    in_[unit] = true;
    order_.insert({key_[unit], unit});
  }

  size_t slots_;
  double now_ = 0;  // half-lives
  std::vector<double> key_;
  std::vector<bool> in_;
  std::set<std::pair<double, size_t>> order_;
};

class Known final : public Rival {
 public:
  Known(const RoutingTrace& trace, int64_t slots)
      : Rival(trace.shape()),
        slots_(static_cast<size_t>(slots)),
        rounds_(units()),
        in_(units()),
        asked_(units()) {
    std::vector<double> uses(units(), 1e-3);
    for (int64_t p = 0; p < trace.passes(); ++p) {
      for (int64_t l = 0; l < shape_.layers; ++l) {
        for (const uint16_t e : trace.chosen(p, l)) {
          ++uses[static_cast<size_t>(l * shape_.experts + e)];
        }
      }
    }
    for (size_t u = 0; u < uses.size(); ++u) {
      rounds_[u] = std::max(0.0, static_cast<double>(trace.tokens()) / uses[u] - 1);
    }
  }

 private:
  void begin(const Demand& demand) override {
    layer_ = demand.layer;
    std::fill(asked_.begin(), asked_.end(), false);
    for (const int32_t e : demand.experts) {
      asked_[static_cast<size_t>(layer_ * shape_.experts + e)] = true;
    }
  }
  bool hit(size_t unit) override { return in_[unit]; }
  void load(size_t unit) override {
    if (resident_.size() == slots_) {
      const auto worst = std::ranges::max_element(
          resident_, {}, [&](size_t u) { return asked_[u] ? -1 : distance(u); });
      if (asked_[*worst]) return;
      in_[*worst] = false;
      *worst = resident_.back();
      resident_.pop_back();
    }
    in_[unit] = true;
    resident_.push_back(unit);
  }
  double distance(size_t unit) const {
    const int64_t L = shape_.layers;
    const int64_t l = static_cast<int64_t>(unit) / shape_.experts;
    return rounds_[unit] * static_cast<double>(L) +
           static_cast<double>((l - layer_ + L - 1) % L + 1);
  }

  size_t slots_;
  int64_t layer_ = 0;
  std::vector<double> rounds_;  // that pass a unit by, on average
  std::vector<bool> in_, asked_;
  std::vector<size_t> resident_;
};

}  // namespace

std::unique_ptr<ReplayedPolicy> make_lru(const RoutingShape& shape, int64_t slots) {
  return std::make_unique<Lru>(shape, slots);
}
std::unique_ptr<ReplayedPolicy> make_lru_per_layer(const RoutingShape& shape, int64_t slots) {
  return std::make_unique<LruPerLayer>(shape, slots);
}
std::unique_ptr<ReplayedPolicy> make_slru(const RoutingShape& shape, int64_t slots) {
  return std::make_unique<Slru>(shape, slots);
}
std::unique_ptr<ReplayedPolicy> make_lfu(const RoutingShape& shape, int64_t slots) {
  return std::make_unique<Lfu>(shape, slots);
}
std::unique_ptr<ReplayedPolicy> make_known(const RoutingTrace& trace, int64_t slots) {
  return std::make_unique<Known>(trace, slots);
}

}  // namespace st
