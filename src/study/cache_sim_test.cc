#include "study/cache_sim.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <random>

#include "study/routing_trace.h"

namespace st {
namespace {

// One expert of one layer at a time.
RoutingTrace sequence(int64_t experts, const std::vector<uint16_t>& ids) {
  RoutingTrace trace({.layers = 1, .experts = experts, .used = 1, .gate_bytes = 1});
  for (const uint16_t id : ids) trace.add_pass(1, {&id, 1});
  return trace;
}

// The most hits that any choice of victims gives: all of them are tried, from each set of residents
// once.
int most_hits(const std::vector<uint16_t>& ids, int slots, bool bypass) {
  std::vector<std::vector<int>> known(ids.size(), std::vector<int>(256, -1));
  std::function<int(size_t, unsigned)> best = [&](size_t i, unsigned in) -> int {
    if (i == ids.size()) return 0;
    int& result = known[i][in];
    if (result >= 0) return result;
    const unsigned bit = 1u << ids[i];
    if (in & bit) return result = 1 + best(i + 1, in);
    if (std::popcount(in) < slots) return result = best(i + 1, in | bit);
    result = bypass ? best(i + 1, in) : 0;
    for (unsigned out = 1; out < 256; out <<= 1) {
      if (in & out) result = std::max(result, best(i + 1, (in & ~out) | bit));
    }
    return result;
  };
  return best(0, 0);
}

TEST(CacheSim, BeladyIsTheBestOfAll) {
  std::mt19937 random(3);
  int differ = 0;
  for (int round = 0; round < 300; ++round) {
    const auto experts = static_cast<int64_t>(3 + random() % 6);
    std::vector<uint16_t> ids(10 + random() % 30);
    for (uint16_t& id : ids) {  // low ones more often
      const auto any = [&] { return random() % static_cast<uint64_t>(experts); };
      id = static_cast<uint16_t>(std::min(any(), any()));
    }
    const RoutingTrace trace = sequence(experts, ids);
    const auto slots = static_cast<int>(1 + random() % 4);
    const int loaded = most_hits(ids, slots, false);
    const int bypassed = most_hits(ids, slots, true);
    differ += bypassed > loaded;
    ASSERT_EQ(simulate(trace, SimPolicy::kBelady, {.slots = slots}).hits, loaded);
    ASSERT_EQ(simulate(trace, SimPolicy::kBeladyBypass, {.slots = slots}).hits, bypassed);
    for (const SimPolicy policy : all_sim_policies()) {  // and nobody does better
      ASSERT_LE(simulate(trace, policy, {.slots = slots}).hits, bypassed)
          << sim_policy_name(policy);
    }
  }
  EXPECT_GT(differ, 30);
}

TEST(CacheSim, ListsByHand) {
  // LRU of 2:  0 miss, 1 miss, 0 hit, 2 miss (1 goes), 1 miss (0 goes), 2 hit, 0 miss
  const RoutingTrace trace = sequence(3, {0, 1, 0, 2, 1, 2, 0});
  const SimResult lru = simulate(trace, SimPolicy::kLru, {.slots = 2});
  EXPECT_EQ(lru.hits, 2u);
  EXPECT_EQ(lru.asked, 7u);
  EXPECT_EQ(lru.tokens, 7u);
  EXPECT_EQ(simulate(trace, SimPolicy::kLruLayer, {.slots = 2}).hits, 2u);
  // SLRU of 5 (4 proven): 0 and 1 are proven, 2..6 pass by, 0 and 1 are still there.
  const RoutingTrace scan = sequence(7, {0, 1, 0, 1, 2, 3, 4, 5, 6, 0, 1});
  EXPECT_EQ(simulate(scan, SimPolicy::kSlru, {.slots = 5}).hits, 4u);
  EXPECT_EQ(simulate(scan, SimPolicy::kLru, {.slots = 5}).hits, 2u);
  EXPECT_EQ(simulate(scan, SimPolicy::kLfu, {.slots = 5}).hits, 4u);
  // All at once, or nothing.
  for (const SimPolicy policy : all_sim_policies()) {
    EXPECT_EQ(simulate(trace, policy, {.slots = 3}).hits, 4u) << sim_policy_name(policy);
    EXPECT_EQ(simulate(trace, policy, {.slots = 0}).hits, 0u) << sim_policy_name(policy);
  }
}

TEST(CacheSim, PassesOfManyTokensAskOnce) {
  RoutingTrace trace({.layers = 2, .experts = 4, .used = 2, .gate_bytes = 1});
  //                                 layer 0           layer 1
  const std::vector<uint16_t> chosen{0, 1, 1, 2, 1, 0, 3, 2, 3, 2, 3, 2};
  trace.add_pass(3, chosen);
  const auto demands = [&](bool by_token) {
    std::vector<Demand> all;
    for_each_demand(trace, by_token, [&](const Demand& demand) { all.push_back(demand); });
    return all;
  };
  const std::vector<Demand> all = demands(false);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].experts, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(all[0].counts, (std::vector<int32_t>{2, 3, 1}));
  EXPECT_EQ(all[1].experts, (std::vector<int32_t>{3, 2}));
  const std::vector<Demand> each = demands(true);
  ASSERT_EQ(each.size(), 6u);
  EXPECT_EQ(each[2].layer, 0);
  EXPECT_EQ(each[2].experts, (std::vector<int32_t>{1, 2}));
  const SimResult counted =
      simulate(trace, SimPolicy::kLru, {.slots = 8, .by_token = true, .skip_tokens = 1});
  EXPECT_EQ(counted.tokens, 2u);
  EXPECT_EQ(counted.asked, 8u);
  EXPECT_EQ(counted.hits, 7u);
}

// Hits in per cent where `percent` of all experts fit; the first 300 tokens do not count.
double hits(const RoutingTrace& trace, SimPolicy policy, int64_t percent) {
  const int64_t slots = trace.shape().layers * trace.shape().experts * percent / 100;
  return 100 * simulate(trace, policy, {.slots = slots, .skip_tokens = 300}).hit_rate();
}

TEST(CacheSim, OursIsAsGoodAsKnowingTheFrequencies) {
  const RoutingShape shape = *released_shape("4b");
  const RoutingTrace trace = make_up_routing(shape, MadeUpKind::kPublished, 1500, 1);
  for (const int64_t percent : {20, 30, 50, 75}) {
    const double ours = hits(trace, SimPolicy::kBlend, percent);
    EXPECT_GT(ours, hits(trace, SimPolicy::kKnown, percent) - 1.5) << percent;
    EXPECT_GT(ours, hits(trace, SimPolicy::kLru, percent) + 1.5) << percent;
    EXPECT_GT(ours, hits(trace, SimPolicy::kLruLayer, percent) + 1.5) << percent;
  }
  for (const int64_t percent : {30, 50, 60}) {
    EXPECT_GT(hits(trace, SimPolicy::kBlend, percent), hits(trace, SimPolicy::kBelady, percent) - 8)
        << percent;
  }
}

TEST(CacheSim, OursFollowsTopicsAndNeighbours) {
  const RoutingShape shape = *released_shape("4b");
  for (const MadeUpKind kind : {MadeUpKind::kDrifting, MadeUpKind::kSticky}) {
    const RoutingTrace trace = make_up_routing(shape, kind, 1500, 1);
    for (const SimPolicy rival :
         {SimPolicy::kLru, SimPolicy::kLruLayer, SimPolicy::kSlru, SimPolicy::kLfu}) {
      for (const int64_t percent : {20, 30, 50, 75}) {
        EXPECT_GT(hits(trace, SimPolicy::kBlend, percent), hits(trace, rival, percent) - 0.5)
            << percent << " " << sim_policy_name(rival);
      }
    }
  }
}

TEST(CacheSim, BelowACircleAListHitsNothing) {
  const RoutingTrace trace = make_up_routing(*released_shape("4b"), MadeUpKind::kPublished, 600, 1);
  EXPECT_LT(hits(trace, SimPolicy::kLru, 10), 1);
  EXPECT_GT(hits(trace, SimPolicy::kBlend, 10), 25);
}

TEST(CacheSim, AHotSetSparesTheColdStart) {
  const RoutingShape shape = *released_shape("4b");
  const RoutingTrace all = make_up_routing(shape, MadeUpKind::kPublished, 1200, 1);
  const RoutingTrace first = make_up_routing(shape, MadeUpKind::kPublished, 1000, 1);
  RoutingTrace then = all;
  then.drop_first(1180);
  const int64_t slots = shape.layers * shape.experts * 3 / 10;
  const SimResult learnt = simulate(first, SimPolicy::kBlend, {.slots = slots});
  const double cold = simulate(then, SimPolicy::kBlend, {.slots = slots}).hit_rate();
  const SimOptions warm{.slots = slots, .hot_set = learnt.rates};
  EXPECT_GT(simulate(then, SimPolicy::kBlend, warm).hit_rate(), cold + 0.1);
}

}  // namespace
}  // namespace st
