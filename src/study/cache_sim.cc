#include "study/cache_sim.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

namespace st {
namespace {

constexpr std::array<std::pair<SimPolicy, std::string_view>, 8> kNames{{
    {SimPolicy::kLru, "lru"},
    {SimPolicy::kLruLayer, "lru-layer"},
    {SimPolicy::kSlru, "slru"},
    {SimPolicy::kLfu, "lfu"},
    {SimPolicy::kBlend, "blend"},
    {SimPolicy::kKnown, "known"},
    {SimPolicy::kBelady, "belady"},
    {SimPolicy::kBeladyBypass, "belady-bypass"},
}};

class Blend final : public ReplayedPolicy {
 public:
  Blend(const RoutingShape& shape, const SimOptions& options)
      : policy_({.layers = shape.layers,
                 .experts = shape.experts,
                 .used = shape.used,
                 .slots = options.slots}) {
    if (options.hot_set.empty()) return;
    policy_.warm(options.hot_set);
    for (const CacheUnit& unit : policy_.hottest(options.slots)) {
      policy_.admit(unit.layer, unit.expert);
    }
  }

  int64_t serve(const Demand& demand) override {
    policy_.ask(demand.layer, demand.experts, demand.counts, demand.tokens);
    int64_t hits = 0;
    for (const int32_t e : demand.experts) {
      if (policy_.find(demand.layer, e) != kNoSlot) {
        ++hits;
      } else {
        policy_.admit(demand.layer, e);
      }
    }
    policy_.release(demand.layer);
    return hits;
  }

  std::vector<float> rates() const { return policy_.rates(); }

 private:
  CachePolicy policy_;
};

// Knows when each unit is asked for next. Order within a demand is that of its experts.
class Belady final : public ReplayedPolicy {
 public:
  Belady(const RoutingTrace& trace, bool by_token, int64_t slots, bool bypass)
      : experts_(trace.shape().experts),
        slots_(static_cast<size_t>(slots)),
        bypass_(bypass),
        in_(static_cast<size_t>(trace.shape().layers * experts_), kOut) {
    std::vector<uint32_t> last(in_.size(), kNever);  // use of each unit
    next_.reserve(trace.ids());
    for_each_demand(trace, by_token, [&](const Demand& demand) {
      for (const int32_t e : demand.experts) {
        const auto now = static_cast<uint32_t>(next_.size());
        const uint32_t before = std::exchange(last[unit(demand.layer, e)], now);
        if (before != kNever) next_[before] = now;
        next_.push_back(kNever);
      }
    });
  }

  int64_t serve(const Demand& demand) override {
    int64_t hits = 0;
    for (const int32_t e : demand.experts) hits += use(unit(demand.layer, e));
    return hits;
  }

 private:
  static constexpr uint32_t kNever = UINT32_MAX;
  static constexpr int64_t kOut = -1;

  size_t unit(int64_t layer, int32_t expert) const {
    return static_cast<size_t>(layer * experts_ + expert);
  }

  bool use(size_t unit) {
    const int64_t next = next_[now_++];
    const bool hit = in_[unit] != kOut;
    if (hit) {
      order_.erase({in_[unit], unit});
    } else if (order_.size() == slots_) {
      const auto last = std::prev(order_.end());
      if (bypass_ && next >= last->first) return false;
      in_[last->second] = kOut;
      order_.erase(last);
    }
    in_[unit] = next;
    order_.insert({next, unit});
    return hit;
  }

  int64_t experts_;
  size_t slots_;
  bool bypass_;
  size_t now_ = 0;
  std::vector<uint32_t> next_;                  // use after each use
  std::vector<int64_t> in_;                     // next use of each resident unit
  std::set<std::pair<int64_t, size_t>> order_;  // resident units by next use
};

std::unique_ptr<ReplayedPolicy> make_policy(const RoutingTrace& trace, SimPolicy policy,
                                            bool by_token, int64_t slots) {
  switch (policy) {
    case SimPolicy::kLru:
      return make_lru(trace.shape(), slots);
    case SimPolicy::kLruLayer:
      return make_lru_per_layer(trace.shape(), slots);
    case SimPolicy::kLfu:
      return make_lfu(trace.shape(), slots);
    case SimPolicy::kSlru:
      return make_slru(trace.shape(), slots);
    case SimPolicy::kKnown:
      return make_known(trace, slots);
    default:
      return std::make_unique<Belady>(trace, by_token, slots, policy == SimPolicy::kBeladyBypass);
  }
}

}  // namespace

std::string_view sim_policy_name(SimPolicy policy) {
  return std::ranges::find(kNames, policy, &decltype(kNames)::value_type::first)->second;
}

std::optional<SimPolicy> parse_sim_policy(std::string_view name) {
  const auto found = std::ranges::find(kNames, name, &decltype(kNames)::value_type::second);
  if (found == kNames.end()) return std::nullopt;
  return found->first;
}

std::span<const SimPolicy> all_sim_policies() {
  static constexpr auto kAll = [] {
    std::array<SimPolicy, kNames.size()> all{};
    for (size_t i = 0; i < all.size(); ++i) all[i] = kNames[i].first;
    return all;
  }();
  return kAll;
}

void for_each_demand(const RoutingTrace& trace, bool by_token,
                     const std::function<void(const Demand&)>& body) {
  const RoutingShape& shape = trace.shape();
  Demand demand;
  std::vector<int32_t> uses(static_cast<size_t>(shape.experts));
  for (int64_t p = 0; p < trace.passes(); ++p) {
    const int64_t step = by_token ? 1 : trace.tokens(p);
    for (int64_t t = 0; t < trace.tokens(p); t += step) {
      for (int64_t l = 0; l < shape.layers; ++l) {
        demand.layer = l;
        demand.tokens = step;
        demand.experts.clear();
        demand.counts.clear();
        const auto ids = trace.chosen(p, l).subspan(static_cast<size_t>(t * shape.used),
                                                    static_cast<size_t>(step * shape.used));
        for (const uint16_t e : ids) {
          if (uses[e]++ == 0) demand.experts.push_back(e);
        }
        for (const int32_t e : demand.experts) {
          demand.counts.push_back(std::exchange(uses[static_cast<size_t>(e)], 0));
        }
        body(demand);
      }
    }
  }
}

SimResult simulate(const RoutingTrace& trace, SimPolicy policy, const SimOptions& options) {
  std::unique_ptr<ReplayedPolicy> replayed;
  const Blend* blend = nullptr;
  if (policy == SimPolicy::kBlend) {
    auto ours = std::make_unique<Blend>(trace.shape(), options);
    blend = ours.get();
    replayed = std::move(ours);
  } else if (options.slots > 0) {
    replayed = make_policy(trace, policy, options.by_token, options.slots);
  }
  SimResult result;
  int64_t begun = 0;  // tokens before this pass
  for_each_demand(trace, options.by_token, [&](const Demand& demand) {
    const int64_t hits = replayed ? replayed->serve(demand) : 0;
    const bool last = demand.layer + 1 == trace.shape().layers;
    if (begun >= options.skip_tokens) {
      result.asked += demand.experts.size();
      result.hits += static_cast<uint64_t>(hits);
      if (last) result.tokens += static_cast<uint64_t>(demand.tokens);
    }
    if (last) begun += demand.tokens;
  });
  if (blend != nullptr) result.rates = blend->rates();
  return result;
}

}  // namespace st
