// What does not fit into a budget, or into what the control group leaves, is refused before a
// weight is read, with a number that works.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "base/memory.h"
#include "golden/fixture.h"
#include "support/bytes.h"
#include "support/temporary_folder.h"
#include "support/test_page.h"

namespace st::golden {
namespace {

using namespace testkit;

constexpr uint64_t kMiB = uint64_t{1} << 20;

const std::string& model() {
  static const std::string path = converted(kTiny, DType::kQ4_0, true);
  return path;
}

// As of a process that is alone in a group of so many bytes, whatever else this one has.
std::function<CgroupMemory()> group_of(uint64_t bytes) {
  const uint64_t before = anonymous_memory();
  return [=] {
    const uint64_t used = anonymous_memory();
    return CgroupMemory{.limit = before + bytes,
                        .available = before + bytes - std::min(used, before + bytes)};
  };
}

EngineOptions unread(uint64_t memory) {
  return {.threads = 2,
          .context = 256,
          .memory = memory,
          .progress = [](std::string_view, uint64_t, uint64_t) { ADD_FAILURE() << "it is read"; },
          .page = test_page()};
}

std::string refusal(EngineOptions options) {
  return error_of([&] { Engine(model(), std::move(options)); });
}

uint64_t number_after(const std::string& text, const std::string& words) {
  const size_t at = text.find(words);
  return at == text.npos ? 0 : std::strtoull(text.c_str() + at + words.size(), nullptr, 10);
}

// Weights alone would fit; with the scratch of so many threads the kernel would kill the process.
TEST(MemoryLimits, ThreadsCountWithoutABudgetToo) {
  EngineOptions options{.threads = 2, .context = 256, .groups = group_of(30 * kMiB)};
  EXPECT_EQ(refusal(options), "no error");
  options.threads = 400;
  options.progress = [](std::string_view, uint64_t, uint64_t) { ADD_FAILURE() << "it is read"; };
  options.groups = group_of(30 * kMiB);
  const std::string error = refusal(options);
  EXPECT_TRUE(error.starts_with("needs ")) << error;
  EXPECT_TRUE(contains(error, " MiB, the control group leaves 3")) << error;
  EXPECT_TRUE(contains(error, "--memory")) << error;
}

// What stays is measured: what earlier tests freed would count for the first engine alone.
TEST(MemoryLimits, ABudgetIsRefusedBeforeAnythingIsRead) {
  model();  // made by now
  give_back_freed();
  const std::string error = refusal(unread(kMiB));
  EXPECT_TRUE(error.starts_with("a memory budget of 1 MiB is too small: ")) << error;
  const uint64_t smallest = number_after(error, "is too small: ");
  EXPECT_EQ(refusal(unread((smallest - 4) * kMiB)).substr(0, 18), "a memory budget of");
  EngineOptions options = unread(smallest * kMiB);
  options.progress = {};
  EXPECT_EQ(refusal(options), "no error");
}

TEST(MemoryLimits, SoIsAGroupThatLeavesLessThanTheBudget) {
  EngineOptions options = unread(uint64_t{1} << 40);
  options.groups = group_of(kMiB);
  const std::string error = refusal(options);
  EXPECT_TRUE(error.starts_with("the control group leaves ")) << error;
  EXPECT_GT(number_after(error, "too little: "), number_after(error, "leaves "));
  EXPECT_TRUE(contains(error, " MiB is the smallest that works in every run, ")) << error;
}

TEST(MemoryLimits, SoIsAModelThatDoesNotFitIntoItsGroup) {
  give_back_freed();
  EngineOptions options = unread(0);
  options.groups = group_of(4 * kMiB);
  std::string error = refusal(options);
  EXPECT_TRUE(error.starts_with("needs ")) << error;
  EXPECT_TRUE(contains(error, "; the smallest budget (--memory) that works is ")) << error;
  const uint64_t smallest = number_after(error, "that works is ");
  EXPECT_GT(smallest, number_after(error, "leaves "));
}

TEST(MemoryLimits, SoIsAModelThatDoesNotFitIntoTheMachine) {
  give_back_freed();
  EngineOptions options = unread(0);
  options.groups = [] { return CgroupMemory{}; };
  MachineMemory machine{.total = 3 * kMiB, .available = kMiB, .swap = kMiB};
  options.machine = [&] { return machine; };
  const std::string hopeless = refusal(options);
  EXPECT_TRUE(contains(hopeless,
                       " MiB, the machine has 4 MiB; the smallest budget (--memory) that "
                       "works is "))
      << hopeless;
  // What it needs less 1 MiB is enough for a budget, which then works.
  const std::string large = converted(kTiny, DType::kF32, true);
  const auto refused = [&] { return error_of([&] { Engine(large, options); }); };
  machine.total = (number_after(refused(), "needs ") - 1) * kMiB - machine.swap;
  const std::string error = refused();
  EXPECT_TRUE(contains(error, fmt::format(" MiB, the machine has {} MiB: use --memory ",
                                          (machine.total + machine.swap) / kMiB)))
      << error;
  options.memory = number_after(error, "use --memory ") * kMiB;
  EXPECT_LE(options.memory, machine.total + machine.swap);
  options.progress = {};
  EXPECT_EQ(refused(), "no error");
}

TEST(MemoryLimits, WhatTheMachineHasFreeIsToldIfItIsLess) {
  EngineOptions options = unread(0);
  options.groups = [] { return CgroupMemory{}; };
  options.machine = [] { return MachineMemory{.total = UINT64_MAX / 2, .available = 5 * kMiB}; };
  options.progress = {};
  std::string note;
  options.note = [&](std::string_view text) { note = text; };
  EXPECT_EQ(refusal(options), "no error");
  EXPECT_TRUE(note.starts_with("needs ")) << note;
  EXPECT_TRUE(contains(note,
                       " MiB with a full context, 5 MiB are free: --memory SIZE makes it do "
                       "with less"))
      << note;
  options.machine = [] { return MachineMemory{}; };  // that does not say
  note.clear();
  EXPECT_EQ(refusal(options), "no error");
  EXPECT_EQ(note, "");
}

TEST(MemoryLimits, ATextCountsAlsoIfThereIsNoRoomForIt) {
  EngineOptions options = unread(kMiB);
  const uint64_t without = number_after(refusal(options), "is too small: ");
  uint64_t room = 1;
  options.encode = [&](const TextRoom& given) {
    room = given.bytes;
    EXPECT_EQ(given.context, 256);
    return 100 * kMiB;
  };
  const uint64_t with = number_after(refusal(options), "is too small: ");
  EXPECT_EQ(room, 0u);
  EXPECT_NEAR(static_cast<double>(with), static_cast<double>(without + 100), 2);
}

TEST(MemoryLimits, EveryThreadCounts) {
  EngineOptions options = unread(kMiB);
  const uint64_t two = number_after(refusal(options), "is too small: ");
  options.threads = 130;
  const uint64_t many = number_after(refusal(options), "is too small: ");
  EXPECT_GT(many, two + 128 * (uint64_t{64} << 10) / kMiB);
}

}  // namespace
}  // namespace st::golden
