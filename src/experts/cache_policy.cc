#include "experts/cache_policy.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

namespace st {

CachePolicy::CachePolicy(const CacheOptions& options)
    : options_(options),
      slots_(options.slots),
      rates_(options.layers, options.experts, options.used),
      units_(static_cast<size_t>(options.layers * options.experts)),
      rows_(static_cast<size_t>(options.layers)),
      free_(units_.size()) {
  std::iota(free_.begin(), free_.end(), 0);  // ascending: a heap already
}

void CachePolicy::ask(int64_t layer, std::span<const int32_t> experts,
                      std::span<const int32_t> counts, int64_t tokens) {
  current_ = layer;
  rates_.ask(layer, experts, counts, tokens);
  Row& r = row(layer);
  r.stale = true;
  for (const int32_t e : experts) {
    Unit& unit = units_[at(layer, e)];
    if (!unit.asked) r.asked.push_back(e);
    unit.asked = true;
  }
}

void CachePolicy::release(int64_t layer) {
  Row& r = row(layer);
  for (const int32_t e : r.asked) units_[at(layer, e)].asked = false;
  r.asked.clear();
  r.stale = true;
}

void CachePolicy::pin(int64_t layer, int64_t expert) {
  ++units_[at(layer, expert)].pins;
  Row& r = row(layer);
  if (r.cheapest == expert) r.stale = true;
}

void CachePolicy::unpin(int64_t layer, int64_t expert) {
  --units_[at(layer, expert)].pins;
  row(layer).stale = true;
}

void CachePolicy::refresh(int64_t layer) {
  Row& r = row(layer);
  r.stale = false;
  r.cheapest = -1;
  for (const int32_t e : r.resident) {
    if (units_[at(layer, e)].is_protected()) continue;
    const float rate = rates_.rate(layer, e);
    if (r.cheapest >= 0 && rate >= r.rate) continue;
    r.cheapest = e;
    r.rate = rate;
  }
}

int64_t CachePolicy::floor() const {
  const double fair = static_cast<double>(slots_) / static_cast<double>(options_.layers);
  return static_cast<int64_t>(options_.floor_share * fair);
}

CacheUnit CachePolicy::victim(int64_t layer) {
  const int64_t L = options_.layers;
  const int64_t floor = this->floor();
  CacheUnit best, below_floor;
  double furthest = -1, furthest_below = -1;
  for (int64_t l = 0; l < L; ++l) {
    Row& r = row(l);
    if (r.stale) refresh(l);
    if (r.cheapest < 0) continue;
    // Layers until it is needed: rounds that pass it by, and the way to it, 1..L.
    const double rounds = 1.0 / std::min(1.0f, r.rate) - 1;
    const auto way = static_cast<double>((l - current_ + L - 1) % L + 1);
    const double distance = rounds * static_cast<double>(L) + way;
    // One unit for another of the same layer does not bring it below its floor.
    const bool may_go = std::ssize(r.resident) > floor || l == layer;
    double& far = may_go ? furthest : furthest_below;
    if (distance <= far) continue;
    far = distance;
    (may_go ? best : below_floor) = {static_cast<int32_t>(l), r.cheapest};
  }
  return best.layer >= 0 ? best : below_floor;
}

int32_t CachePolicy::take_free_slot() {
  std::ranges::pop_heap(free_, std::greater());
  const int32_t slot = free_.back();
  free_.pop_back();
  return slot;
}

// Returns the slot, which nobody has then.
int32_t CachePolicy::evict(CacheUnit unit) {
  Unit& u = units_[at(unit.layer, unit.expert)];
  Row& r = row(unit.layer);
  --used_;
  r.resident.erase(std::ranges::lower_bound(r.resident, unit.expert));
  r.stale = true;
  return std::exchange(u.slot, kNoSlot);
}

void CachePolicy::free_slot(int32_t slot) {
  free_.push_back(slot);
  std::ranges::push_heap(free_, std::greater());
}

Admission CachePolicy::admit(int64_t layer, int64_t expert) {
  Admission result;
  if (used_ < slots_ && !free_.empty()) {
    result.slot = take_free_slot();
  } else {
    if (slots_ == 0) return result;
    result.evicted = victim(layer);
    if (result.evicted.layer < 0) return result;
    result.slot = evict(result.evicted);
  }
  ++used_;
  units_[at(layer, expert)].slot = result.slot;
  Row& r = row(layer);
  const auto e = static_cast<int32_t>(expert);
  r.resident.insert(std::ranges::lower_bound(r.resident, e), e);
  r.stale = true;
  return result;
}

void CachePolicy::drop(int64_t layer, int64_t expert) {
  free_slot(evict({static_cast<int32_t>(layer), static_cast<int32_t>(expert)}));
}

void CachePolicy::hold(int32_t slot) {
  free_.erase(std::ranges::find(free_, slot));
  std::ranges::make_heap(free_, std::greater());
  ++used_;
}

void CachePolicy::give_back(int32_t slot) {
  free_slot(slot);
  --used_;
}

std::vector<Admission> CachePolicy::resize(int64_t slots) {
  slots_ = slots;
  std::vector<Admission> gone;
  while (used_ > slots_) {
    const CacheUnit unit = victim(-1);
    if (unit.layer < 0) break;
    gone.push_back({find(unit.layer, unit.expert), unit});
    drop(unit.layer, unit.expert);
  }
  return gone;
}

void CachePolicy::warm(std::span<const float> rates) {
  rates_.set_rates(rates);
  for (Row& r : rows_) r.stale = true;
}

std::vector<CacheUnit> CachePolicy::hottest(int64_t count) const {
  std::vector<int32_t> order(units_.size());
  std::iota(order.begin(), order.end(), 0);
  const std::vector<float> rates = this->rates();
  const size_t n = std::min(order.size(), static_cast<size_t>(std::max<int64_t>(0, count)));
  // Ties go round the layers, lowest expert first.
  const auto better = [&](int32_t a, int32_t b) {
    const float x = rates[static_cast<size_t>(a)], y = rates[static_cast<size_t>(b)];
    const auto E = static_cast<int32_t>(options_.experts);
    return x != y ? x > y : std::pair(a % E, a / E) < std::pair(b % E, b / E);
  };
  std::ranges::partial_sort(order, order.begin() + static_cast<ptrdiff_t>(n), better);
  std::vector<CacheUnit> units;
  for (size_t i = 0; i < n; ++i) {
    const auto E = static_cast<int32_t>(options_.experts);
    units.push_back({order[i] / E, order[i] % E});
  }
  return units;
}

}  // namespace st
