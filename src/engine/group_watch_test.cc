#include "engine/group_watch.h"

#include <gtest/gtest.h>

#include <thread>

namespace st {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// A group of which the test says what is in it.
struct Group {
  CgroupMemory memory;
  uint64_t own = 100 * kMiB;
  int looks = 0;

  GroupWatch watch(std::chrono::milliseconds pause = {}) {
    return GroupWatch({.groups = [this] { return ++looks, memory; },
                       .own = [this] { return own; },
                       .pause = pause});
  }
  // As the kernel would tell it of a group with others in it.
  void set(uint64_t limit, uint64_t others) {
    memory.limit = limit;
    memory.available = limit - std::min(limit, own + others);
  }
};

TEST(GroupWatch, WithoutALimitEverythingIsAllowed) {
  Group group;
  EXPECT_EQ(group.watch().allowed(), UINT64_MAX);
}

TEST(GroupWatch, ALimitCountsAlsoWhenWeAreAlone) {
  Group group;
  group.set(500 * kMiB, 0);
  GroupWatch watch = group.watch();
  EXPECT_EQ(watch.allowed(), 500 * kMiB);
  group.own = 499 * kMiB;  // growing changes nothing
  group.set(500 * kMiB, 0);
  EXPECT_EQ(watch.allowed(), 500 * kMiB);
}

TEST(GroupWatch, GivesWayToALowerLimitAndToOthers) {
  Group group;
  group.set(500 * kMiB, 0);
  GroupWatch watch = group.watch();
  EXPECT_EQ(watch.allowed(), 500 * kMiB);
  group.set(300 * kMiB, 0);
  EXPECT_EQ(watch.allowed(), 300 * kMiB);
  group.set(300 * kMiB, 120 * kMiB);
  EXPECT_EQ(watch.allowed(), 180 * kMiB);
  group.set(90 * kMiB, 0);  // less than we have, as memory.high may be
  EXPECT_EQ(watch.allowed(), 90 * kMiB);
  group.set(300 * kMiB, 20 * kMiB);
  EXPECT_EQ(watch.allowed(), 280 * kMiB);
  group.memory = {};
  EXPECT_EQ(watch.allowed(), UINT64_MAX);
}

TEST(GroupWatch, TremblingFiguresChangeNothing) {
  Group group;
  group.set(500 * kMiB, 100 * kMiB);
  GroupWatch watch = group.watch();
  ASSERT_EQ(watch.allowed(), 400 * kMiB);
  for (const uint64_t others : {100 * kMiB + 4096, 100 * kMiB + kMiB - 1, 90 * kMiB, 85 * kMiB}) {
    group.set(500 * kMiB, others);
    EXPECT_EQ(watch.allowed(), 400 * kMiB) << others;
  }
  group.set(500 * kMiB, 84 * kMiB);
  EXPECT_EQ(watch.allowed(), 416 * kMiB);
}

TEST(GroupWatch, LooksNowAndThen) {
  Group group;
  group.set(500 * kMiB, 0);
  GroupWatch watch = group.watch(std::chrono::milliseconds(50));
  for (int i = 0; i < 1000; ++i) watch.allowed();
  EXPECT_LT(group.looks, 500);
  const int before = group.looks;
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  watch.allowed();
  EXPECT_EQ(group.looks, before + 1);
}

}  // namespace
}  // namespace st
