#include "engine/memory_plan.h"

#include <gtest/gtest.h>

#include "support/bytes.h"

namespace st {
namespace {

using testkit::error_of;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kKiB = uint64_t{1} << 10;

// Parts that are no whole MiB: 8 + 0.3 + 0.1 + 0.2 + 0.1 MiB stay or are scratch for one token, 0.7
// are keys and values, 2 * 0.4 are experts.
MemoryPlan odd_plan() {
  return {.resident = 300 * kKiB,
          .program = 200 * kKiB,
          .threads = 100 * kKiB,
          .logits = 200 * kKiB,
          .per_token = 100 * kKiB,
          .tokens = 1,
          .wanted = 32,
          .context = 64,
          .kv_full = 700 * kKiB,
          .kv_least = 700 * kKiB,
          .kv_wanted = 900 * kKiB,
          .expert = 400 * kKiB,
          .experts = 12,
          .fewest = 2};
}

TEST(MemoryPlan, TheNumbersOfARefusalAgree) {
  MemoryPlan plan = odd_plan();
  plan.budget = 5 * kMiB;
  EXPECT_EQ(error_of([&] { plan.check(); }),
            "a memory budget of 5 MiB is too small: 14 MiB is the smallest that works in every "
            "run, 11 MiB in this one (9 for what stays, 0 for scratch, 1 for a full context, 1 for "
            "experts)");
  EXPECT_EQ(error_of([&] { plan.check_for_any_run(); }),
            "a memory budget of 5 MiB is too small: 14 MiB is the smallest that works in every "
            "run (12 for what stays, 0 for scratch, 1 for a full context, 1 for experts)");
  plan.context = 9000;
  plan.kv_full = plan.kv_least = 40 * kMiB;
  EXPECT_EQ(error_of([&] { plan.check(); }),
            "a memory budget of 5 MiB is too small: 53 MiB is the smallest that works in every "
            "run, 50 MiB in this one (9 for what stays, 0 for scratch, 40 for a full context of "
            "9000 tokens: -c makes it shorter, 1 for experts)");
}

TEST(MemoryPlan, TheSmallestBudgetsAreAccepted) {
  MemoryPlan plan = odd_plan();
  for (plan.budget = 11 * kMiB; plan.budget < 14 * kMiB; plan.budget += kMiB) {
    EXPECT_EQ(error_of([&] { plan.check(); }), "no error") << plan.budget;
  }
  plan.budget = plan.least();
  EXPECT_EQ(error_of([&] { plan.check(); }), "no error");
  --plan.budget;
  EXPECT_NE(error_of([&] { plan.check(); }), "no error");
  plan.budget = 13 * kMiB;
  EXPECT_EQ(error_of([&] { plan.check_for_any_run(); }), "no error");
  plan.budget = plan.least() + MemoryPlan::kALittleMore - 1;
  EXPECT_NE(error_of([&] { plan.check_for_any_run(); }), "no error");
}

// Pages of files, which the group takes back, do not count.
TEST(MemoryPlan, AGroupThatLeavesTheSmallestIsAccepted) {
  MemoryPlan plan = odd_plan();
  plan.budget = 64 * kMiB;
  plan.group_limit = 5 * kMiB;
  plan.program = kMiB;
  plan.resident += kMiB;
  const std::string error = error_of([&] { plan.check(); });
  EXPECT_EQ(error,
            "the control group leaves 5 MiB, too little: 15 MiB is the smallest that works in "
            "every run, 11 MiB in this one (9 for what stays, 0 for scratch, 1 for a full context, "
            "1 for experts)");
  plan.group_limit = 11 * kMiB;
  EXPECT_EQ(error_of([&] { plan.check(); }), "no error");
  plan.group_limit = plan.least() - plan.program - 1;
  EXPECT_NE(error_of([&] { plan.check(); }), "no error");
}

TEST(MemoryPlan, MoreIsOfNoUseBeyondAllExpertsAndTheWholeMicroBatch) {
  MemoryPlan plan = odd_plan();
  EXPECT_EQ(plan.largest(), 50 * kMiB);  // a sixteenth of which are 32 tokens' 3.125 MiB
  EXPECT_EQ(micro_batch_within(plan.largest(), plan.wanted, plan.per_token), plan.wanted);
  plan.wanted = 1;
  plan.kv_wanted = plan.kv_least;
  EXPECT_EQ(plan.largest(), 18 * kMiB);
  plan.experts = plan.fewest;  // which all have to be there
  EXPECT_EQ(plan.largest(), plan.smallest());
}

}  // namespace
}  // namespace st
