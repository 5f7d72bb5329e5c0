#include "experts/foresight.h"

#include <gtest/gtest.h>

namespace st {
namespace {

void judge_many(Foresight& foresight, int64_t right, int64_t wrong) {
  for (int i = 0; i < 200; ++i) foresight.judge(right, wrong);
}

void busy_for_long(Foresight& foresight, double share) {
  for (int i = 0; i < 100; ++i) foresight.begin_pass(share);
}

TEST(Foresight, TriesAtFirst) {
  const Foresight foresight;
  EXPECT_TRUE(foresight.guesses());
  EXPECT_TRUE(foresight.reads());
}

TEST(Foresight, KnowsTheShareThatCameTrue) {
  Foresight foresight;
  judge_many(foresight, 9, 1);
  EXPECT_NEAR(foresight.precision(), 0.9, 0.01);
  judge_many(foresight, 1, 4);
  EXPECT_NEAR(foresight.precision(), 0.2, 0.01);
  foresight.judge(0, 0);
  EXPECT_NEAR(foresight.precision(), 0.2, 0.01);
}

TEST(Foresight, OneBadLayerIsNotTheEnd) {
  Foresight foresight;
  judge_many(foresight, 9, 1);
  busy_for_long(foresight, 0.5);
  foresight.judge(0, 4);
  EXPECT_TRUE(foresight.reads());
}

TEST(Foresight, PaysWhileRightMoreOftenThanTheDeviceIsBusy) {
  Foresight foresight;
  judge_many(foresight, 7, 3);
  busy_for_long(foresight, 0.6);
  EXPECT_TRUE(foresight.reads());
  busy_for_long(foresight, 0.8);
  EXPECT_FALSE(foresight.reads());
  judge_many(foresight, 19, 1);
  EXPECT_TRUE(foresight.reads());
}

TEST(Foresight, LooksFromTimeToTimeWhetherItWouldPayAgain) {
  Foresight foresight;
  judge_many(foresight, 0, 1);
  int looked = 0;
  for (int i = 0; i < 10 * Foresight::kTrial; ++i) {
    foresight.begin_pass(0.5);
    EXPECT_FALSE(foresight.reads());
    looked += foresight.guesses();
  }
  EXPECT_EQ(looked, 10);
  judge_many(foresight, 1, 0);
  EXPECT_TRUE(foresight.reads());
}

TEST(Foresight, ATimeThatWasMeasuredWronglyDoesNoHarm) {
  Foresight foresight;
  busy_for_long(foresight, 40);
  EXPECT_NEAR(foresight.busy(), 1, 0.01);
  busy_for_long(foresight, -3);
  EXPECT_NEAR(foresight.busy(), 0, 0.01);
}

}  // namespace
}  // namespace st
