#include "experts/cache_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <map>
#include <random>
#include <set>

namespace st {
namespace {

using Key = std::pair<int64_t, int64_t>;  // layer, expert

// What the policy promises, kept the slow way: checks every answer, whatever was chosen.
class Model {
 public:
  Model(const CacheOptions& options, uint32_t seed)
      : options_(options), policy_(options), slots_(options.slots), random_(seed) {}

  void step() {
    switch (random_() % 16) {
      case 0:
        return pin();
      case 1:
        return unpin();
      case 2:
        return random_() % 8 == 0 ? resize() : drop();
      case 3:
        return trim();
      case 4:
      case 5:
        return release();
      case 6:
      case 7:
      case 8:
        return ask();
      default:
        return use();
    }
  }

  void check_all() {
    ASSERT_EQ(policy_.used(), std::ssize(resident_));
    std::set<int32_t> slots;
    for (int64_t l = 0; l < options_.layers; ++l) {
      for (int64_t e = 0; e < options_.experts; ++e) {
        const auto found = resident_.find({l, e});
        ASSERT_EQ(policy_.find(l, e), found == resident_.end() ? kNoSlot : found->second);
        if (found != resident_.end()) slots.insert(found->second);
      }
    }
    ASSERT_EQ(slots.size(), resident_.size());  // no slot twice
    ASSERT_TRUE(slots.empty() ||
                (*slots.begin() >= 0 && *slots.rbegin() < options_.layers * options_.experts));
    ASSERT_EQ(policy_.excess(), std::max<int64_t>(0, std::ssize(resident_) - slots_));
  }

  int64_t evictions = 0, refusals = 0, shrunk = 0, below_floor = 0;

 private:
  Key any() {
    return {static_cast<int64_t>(random_()) % options_.layers,
            static_cast<int64_t>(random_()) % options_.experts};
  }
  bool is_protected(Key unit) const {
    const auto pins = pins_.find(unit);
    return asked_.contains(unit) || (pins != pins_.end() && pins->second > 0);
  }
  int64_t residents(int64_t layer) const {
    return std::ranges::count_if(resident_, [&](auto& r) { return r.first.first == layer; });
  }
  int64_t floor() const {
    return static_cast<int64_t>(options_.floor_share * static_cast<double>(slots_) /
                                static_cast<double>(options_.layers));
  }

  void expect_may_go(Key gone, int64_t for_layer) {
    ASSERT_TRUE(resident_.contains(gone));
    ASSERT_FALSE(is_protected(gone));
    if (residents(gone.first) > floor() || gone.first == for_layer) return;
    // Only where no other layer has one to spare.
    ++below_floor;
    for (const auto& [unit, slot] : resident_) {
      const bool spare = residents(unit.first) > floor() || unit.first == for_layer;
      ASSERT_FALSE(spare && !is_protected(unit));
    }
  }

  void use() {
    const Key unit = any();
    if (resident_.contains(unit)) return;
    const int64_t before = std::ssize(resident_);
    const Admission a = policy_.admit(unit.first, unit.second);
    if (a.slot == kNoSlot) {
      ++refusals;
      ASSERT_GE(before, slots_);
      if (slots_ == 0) return;
      for (const auto& [other, slot] : resident_) ASSERT_TRUE(is_protected(other));
      return;
    }
    if (a.evicted.layer >= 0) {
      ++evictions;
      const Key gone{a.evicted.layer, a.evicted.expert};
      ASSERT_GE(before, slots_);  // not while there is room
      expect_may_go(gone, unit.first);
      ASSERT_EQ(resident_[gone], a.slot);
      resident_.erase(gone);
    } else {
      ASSERT_LT(before, slots_);
      for (const auto& [other, slot] : resident_) ASSERT_NE(slot, a.slot);
    }
    resident_[unit] = a.slot;
    ASSERT_LE(std::ssize(resident_), std::max(before, slots_));
  }

  void ask() {
    const int64_t layer = any().first;
    std::set<int32_t> experts;
    for (uint32_t n = 1 + random_() % 4; n > 0; --n)
      experts.insert(static_cast<int32_t>(any().second));
    const std::vector<int32_t> list(experts.begin(), experts.end());
    if (random_() % 4 == 0) {
      const std::vector<int32_t> counts(list.size(), 3);
      policy_.ask(layer, list, counts, 7);
    } else {
      policy_.ask(layer, list);
    }
    for (const int32_t e : list) asked_.insert({layer, e});
  }
  void release() {
    const int64_t layer = any().first;
    policy_.release(layer);
    std::erase_if(asked_, [&](const Key& unit) { return unit.first == layer; });
  }
  void pin() {
    const Key unit = any();
    policy_.pin(unit.first, unit.second);
    ++pins_[unit];
  }
  void unpin() {
    if (pins_.empty()) return;
    auto at = std::next(pins_.begin(), static_cast<ptrdiff_t>(random_() % pins_.size()));
    policy_.unpin(at->first.first, at->first.second);
    if (--at->second == 0) pins_.erase(at);
  }
  void drop() {
    if (resident_.empty()) return;
    const auto at =
        std::next(resident_.begin(), static_cast<ptrdiff_t>(random_() % resident_.size()));
    policy_.drop(at->first.first, at->first.second);
    resident_.erase(at);
  }
  void resize() {
    slots_ = static_cast<int64_t>(random_()) % (options_.layers * options_.experts + 3);
    if (random_() % 8 == 0) slots_ = 0;
    take(policy_.resize(slots_));
  }
  void trim() { take(policy_.trim()); }
  void take(const std::vector<Admission>& gone) {
    for (const Admission& a : gone) {
      ++shrunk;
      ASSERT_GT(std::ssize(resident_), slots_);
      const Key unit{a.evicted.layer, a.evicted.expert};
      expect_may_go(unit, -1);
      ASSERT_EQ(resident_[unit], a.slot);
      resident_.erase(unit);
    }
    if (std::ssize(resident_) <= slots_) return;
    for (const auto& [unit, slot] : resident_) ASSERT_TRUE(is_protected(unit));
  }

  CacheOptions options_;
  CachePolicy policy_;
  int64_t slots_;
  std::mt19937 random_;
  std::map<Key, int32_t> resident_;  // and their slots
  std::map<Key, int> pins_;
  std::set<Key> asked_;
};

TEST(CachePolicy, KeepsItsPromisesUnderRandomUse) {
  const std::vector<CacheOptions> all = {
      {.layers = 5, .experts = 8, .used = 2, .slots = 12},
      {.layers = 3, .experts = 6, .used = 2, .slots = 9, .floor_share = 1},
      {.layers = 1, .experts = 16, .used = 4, .slots = 5, .floor_share = 0},
      {.layers = 8, .experts = 4, .used = 1, .slots = 32, .floor_share = 0.5},
  };
  uint32_t seed = 1;
  for (const CacheOptions& options : all) {
    Model model(options, seed++);
    for (int i = 0; i < 250'000; ++i) {
      model.step();
      if (i % 16 == 0) model.check_all();
      if (testing::Test::HasFatalFailure()) FAIL() << "operation " << i << ", seed " << seed - 1;
    }
    // Each kind of event was there to be checked.
    EXPECT_GT(model.evictions, 100);
    EXPECT_GT(model.refusals, 10);
    EXPECT_GT(model.shrunk, 100);
    if (options.floor_share == 1) {
      EXPECT_GT(model.below_floor, 10);
    }
  }
}

// Experts `experts` of every layer, in a circle.
void pass(CachePolicy& policy, int64_t layers, std::vector<int32_t> experts) {
  for (int64_t l = 0; l < layers; ++l) {
    policy.ask(l, experts);
    for (const int32_t e : experts) {
      if (policy.find(l, e) == kNoSlot) policy.admit(l, e);
    }
    policy.release(l);
  }
}

TEST(CachePolicy, AWideSweepDoesNotFlushWhatIsUsedOften) {
  CachePolicy policy({.layers = 4, .experts = 16, .used = 2, .slots = 16});
  for (int i = 0; i < 100; ++i) pass(policy, 4, {3, 7});
  for (const int32_t e : {0, 1, 2, 4, 5, 6, 8, 9}) pass(policy, 4, {e, 15});
  int kept = 0;
  for (int64_t l = 0; l < 4; ++l) kept += (policy.find(l, 3) >= 0) + (policy.find(l, 7) >= 0);
  EXPECT_EQ(kept, 8);
}

TEST(CachePolicy, HalfACircleHitsHalf) {
  // Every layer asks for the same two experts in turn: a list by last use would never hit.
  CachePolicy policy({.layers = 10, .experts = 4, .used = 2, .slots = 10});
  for (int i = 0; i < 10; ++i) pass(policy, 10, {0, 1});
  std::set<Key> before;
  for (int64_t l = 0; l < 10; ++l) {
    for (const int64_t e : {0, 1}) {
      if (policy.find(l, e) != kNoSlot) before.insert({l, e});
    }
  }
  EXPECT_EQ(before.size(), 10u);
  pass(policy, 10, {0, 1});
  int kept = 0;
  for (const auto& [l, e] : before) kept += policy.find(l, e) != kNoSlot;
  EXPECT_GE(kept, 7);
}

TEST(CachePolicy, AmongEqualsTheOneWhoseTurnIsLastGoes) {
  CachePolicy policy({.layers = 4, .experts = 2, .used = 1, .slots = 4, .floor_share = 0});
  for (int64_t l = 0; l < 4; ++l) policy.admit(l, 0);
  const std::vector<float> even(8, 0.5f);
  policy.warm(even);
  policy.ask(2, {});
  EXPECT_EQ(policy.admit(3, 1).evicted, (CacheUnit{2, 0}));  // a whole round away
  EXPECT_EQ(policy.admit(2, 1).evicted, (CacheUnit{1, 0}));
}

TEST(CachePolicy, TheRouterProtectsWhatItAskedFor) {
  CachePolicy policy({.layers = 2, .experts = 4, .used = 2, .slots = 2});
  policy.admit(0, 0);
  policy.admit(0, 1);
  policy.ask(0, std::vector<int32_t>{0, 2});
  EXPECT_EQ(policy.admit(0, 2).evicted, (CacheUnit{0, 1}));
  EXPECT_EQ(policy.admit(0, 3).slot, kNoSlot);  // all that is there is asked for
  policy.release(0);
  EXPECT_NE(policy.admit(0, 3).slot, kNoSlot);
}

TEST(CachePolicy, FreeSlotsAreTakenLowestFirst) {
  CachePolicy policy({.layers = 2, .experts = 4, .used = 1, .slots = 4});
  for (int32_t e = 0; e < 4; ++e) EXPECT_EQ(policy.admit(0, e).slot, e);
  policy.drop(0, 3);
  policy.drop(0, 1);
  EXPECT_EQ(policy.admit(1, 0).slot, 1);
  EXPECT_EQ(policy.admit(1, 1).slot, 3);
  EXPECT_EQ(policy.resize(1).size(), 3u);
  EXPECT_EQ(policy.used(), 1);
  policy.resize(8);
  EXPECT_EQ(policy.used(), 1);
}

TEST(CachePolicy, AHotSetIsLoadedHottestFirst) {
  CachePolicy policy({.layers = 2, .experts = 3, .used = 1, .slots = 3});
  const std::vector<float> rates{0.1f, 0.5f, 0.2f, 0.5f, 0.0f, 0.3f};
  policy.warm(rates);
  EXPECT_EQ(policy.hottest(4), (std::vector<CacheUnit>{{1, 0}, {0, 1}, {1, 2}, {0, 2}}));
  EXPECT_EQ(policy.hottest(99).size(), 6u);
  EXPECT_TRUE(std::ranges::equal(policy.rates(), rates));
  for (const CacheUnit& unit : policy.hottest(3)) policy.admit(unit.layer, unit.expert);
  EXPECT_EQ(policy.admit(1, 1).evicted, (CacheUnit{1, 2}));
}

TEST(UseRates, AreSharesOfTheTokens) {
  UseRates rates(1, 4, 2);
  EXPECT_NEAR(rates.rate(0, 3), 0.5, 0.001);
  std::mt19937 random(1);
  for (int i = 0; i < 4000; ++i) {  // 0 always, 1 a quarter of the time, 2 else, 3 never
    rates.ask(0, std::vector<int32_t>{0, random() % 4 == 0 ? 1 : 2}, {}, 1);
  }
  EXPECT_NEAR(rates.rate(0, 0), 1, 0.01);
  EXPECT_NEAR(rates.rate(0, 1), 0.25, 0.1);
  EXPECT_NEAR(rates.rate(0, 2), 0.75, 0.1);
  EXPECT_NEAR(rates.rate(0, 3), 0, 0.01);
  // The first tokens already say something, in every span.
  UseRates young(1, 4, 2);
  for (int i = 0; i < 16; ++i) young.ask(0, std::vector<int32_t>{0, 1}, {}, 1);
  EXPECT_NEAR(young.long_rates()[0], 0.83, 0.02);  // (8 x 0.5 + 16) / 24
  EXPECT_NEAR(young.long_rates()[2], 0.17, 0.02);
  // A batch counts as its tokens.
  UseRates batch(1, 4, 2);
  batch.ask(0, std::vector<int32_t>{0, 1, 2}, std::vector<int32_t>{4000, 1000, 3000}, 4000);
  for (int64_t e = 0; e < 4; ++e) EXPECT_NEAR(batch.rate(0, e), rates.rate(0, e), 0.1);
  for (const double weight : batch.weights()) EXPECT_NEAR(weight, 1.0 / 3, 1e-9);
  batch.ask(0, std::vector<int32_t>{0, 3}, std::vector<int32_t>{2, 2}, 2);
  for (const double weight : batch.weights()) EXPECT_NEAR(weight, 1.0 / 3, 1e-9);
}

// The same the slow way: every average of every expert follows every ask.
class SlowRates {
 public:
  explicit SlowRates(int64_t experts) : experts_(experts) {
    for (auto& average : averages_)
      average.assign(static_cast<size_t>(experts), 2.0f / static_cast<float>(experts));
  }
  void ask(std::span<const int32_t> experts, std::span<const int32_t> counts, int64_t tokens) {
    const auto n = static_cast<double>(tokens);
    for (size_t i = 0; i < averages_.size(); ++i) {
      const double kept = std::min(std::exp2(-n / UseRates::kHalfLives[i]), seen_ / (seen_ + n));
      for (float& average : averages_[i]) average *= static_cast<float>(kept);
      for (size_t j = 0; j < experts.size(); ++j) {
        averages_[i][static_cast<size_t>(experts[j])] +=
            static_cast<float>((1 - kept) * counts[j] / n);
      }
    }
    seen_ += n;
  }
  void set_rates(std::span<const float> rates) {
    for (auto& average : averages_) average.assign(rates.begin(), rates.end());
    seen_ = 32;
  }
  float rate(std::span<const double> weights, size_t expert) const {
    double sum = 1e-4f;
    for (size_t i = 0; i < averages_.size(); ++i) sum += weights[i] * averages_[i][expert];
    return static_cast<float>(sum);
  }
  const std::vector<float>& long_rates() const { return averages_.back(); }

 private:
  int64_t experts_;
  double seen_ = 8;
  std::array<std::vector<float>, 3> averages_;
};

TEST(UseRates, ThoseNobodyAskedForAreCountedToo) {
  constexpr int64_t kExperts = 300;
  UseRates rates(2, kExperts, 2);
  SlowRates slow(kExperts);
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    std::set<int32_t> chosen;
    for (int n = 0; n < 3; ++n) chosen.insert(static_cast<int32_t>(random() % (1 + i % kExperts)));
    const std::vector<int32_t> experts(chosen.begin(), chosen.end());
    const auto tokens = static_cast<int64_t>(1 + random() % 5);
    const std::vector<int32_t> counts(experts.size(), static_cast<int32_t>(tokens));
    rates.ask(1, experts, counts, tokens);
    slow.ask(experts, counts, tokens);
    if (i % 100 != 0) continue;
    for (int64_t e = 0; e < kExperts; ++e) {
      ASSERT_EQ(rates.rate(1, e), slow.rate(rates.weights(), static_cast<size_t>(e))) << i;
    }
    const std::vector<float> all = rates.long_rates();
    ASSERT_TRUE(std::ranges::equal(std::span(all).subspan(kExperts), slow.long_rates())) << i;
    if (i != 1000) continue;
    rates.set_rates(all);
    slow.set_rates(std::span(all).subspan(kExperts));
  }
}

// So that a routing trace of as many experts as there may be does not take hours.
TEST(CachePolicy, TimeGoesWithWhatIsAskedForNotWithWhatThereIs) {
  constexpr int64_t kLayers = 32, kExperts = 65'536, kTokens = 1000;
  CachePolicy policy({.layers = kLayers, .experts = kExperts, .used = 2, .slots = 64});
  std::mt19937 random(4);
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < kTokens; ++i) {
    const auto e = static_cast<int32_t>(random() % (kExperts / 2));
    pass(policy, kLayers, {e, e + 1});
  }
  EXPECT_EQ(policy.used(), 64);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(UseRates, LearnWhichSpanPredicts) {
  std::mt19937 random(2);
  UseRates wanders(1, 16, 1), stays(1, 16, 1);
  int32_t expert = 0;
  for (int i = 0; i < 8000; ++i) {
    if (random() % 10 == 0) expert = static_cast<int32_t>(random() % 16);
    wanders.ask(0, {&expert, 1}, {}, 1);
    const auto other = static_cast<int32_t>(std::min(random() % 16, random() % 16));
    stays.ask(0, {&other, 1}, {}, 1);
  }
  EXPECT_GT(wanders.weights()[0], 0.8);
  EXPECT_GT(stays.weights()[2], 0.5);
  EXPECT_LT(stays.weights()[0], 0.05);
}

}  // namespace
}  // namespace st
