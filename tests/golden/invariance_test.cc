// Bits that do not change: threads, batch sizes and prompt splits leave no trace in the logits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cfenv>
#include <cfloat>
#include <cstring>
#include <string>
#include <thread>

#include "engine/sampler.h"
#include "golden/fixture.h"
#include "kernels/kernels.h"
#include "support/bytes.h"
#include "support/feed_at.h"
#include "support/test_page.h"

namespace st::golden {
namespace {

using testkit::error_of;

constexpr int kTokens = 170;      // beyond the sliding window of 128
constexpr int kLongTokens = 300;  // and where the first tile has been let go
constexpr int kFewTokens = 30;    // where only weights matter

std::vector<Token> some_tokens(int n = kTokens) {
  std::vector<Token> ids;
  for (int i = 0; i < n; ++i) ids.push_back(static_cast<Token>((i * 7919 + 13) % 4077));
  return ids;
}

// Logits of every tenth token: each depends on all tokens before it.
std::vector<float> logits_of(Engine& engine, const std::vector<int64_t>& splits,
                             int tokens = kTokens) {
  const auto ids = some_tokens(tokens);
  std::vector<float> out;
  int64_t done = 0;
  for (size_t i = 0; done < tokens; ++i) {
    const int64_t n = std::min<int64_t>(splits[i % splits.size()], tokens - done);
    const auto part = std::span(ids).subspan(static_cast<size_t>(done), static_cast<size_t>(n));
    const auto logits = engine.evaluate(testkit::feed_at(engine, part, done, true));
    const int64_t V = engine.config().vocab;
    for (int64_t t = 0; t < n; ++t) {
      if ((done + t) % 10 != 9) continue;
      const float* row = logits.data() + t * V;
      out.insert(out.end(), row, row + V);
    }
    done += n;
  }
  return out;
}

std::vector<float> logits_of(const std::string& path, EngineOptions options,
                             const std::vector<int64_t>& splits, int tokens = kTokens) {
  Engine engine(path, std::move(options));
  return logits_of(engine, splits, tokens);
}

void flush_subnormals() {
#if defined(__x86_64__)
  __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);  // FTZ, DAZ
#elif defined(__aarch64__)
  asm volatile("msr fpcr, %0" : : "r"(uint64_t{1} << 24));  // FZ
#endif
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(Invariance, ThreadsBatchesAndSplits) {
  for (const KernelTable* table : usable_kernels()) {
    const std::string kernels(table->name);
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0}) {
      for (const bool transpose : {false, true}) {
        const std::string path = converted(kTiny, type, transpose);
        const auto options = [&](int threads, int64_t micro_batch) {
          return EngineOptions{.threads = threads, .micro_batch = micro_batch, .kernels = kernels};
        };
        const int n = type == DType::kQ4_0 ? kTokens : kFewTokens;
        const auto want = logits_of(path, options(1, 512), {512}, n);
        const std::string what =
            kernels + " " + std::string(dtype_name(type)) + (transpose ? " transposed" : "");
        EXPECT_TRUE(same_bits(want, logits_of(path, options(4, 512), {512}, n))) << what << " -t 4";
        EXPECT_TRUE(same_bits(want, logits_of(path, options(2, 1), {512}, n))) << what << " -ub 1";
        EXPECT_TRUE(same_bits(want, logits_of(path, options(3, 7), {22, 1, 37}, n))) << what;
      }
    }
  }
}

// A window that has long moved on, tiles of the cache that are used again, more threads than heads.
TEST(Invariance, EveryCacheType) {
  const std::string path = converted(kTiny, DType::kQ4_0, true);
  for (const KernelTable* table : usable_kernels()) {
    const std::string kernels(table->name);
    for (const KvType type : {KvType::kF32, KvType::kI16, KvType::kI8}) {
      const auto options = [&](int threads, int64_t micro_batch) {
        return EngineOptions{
            .threads = threads, .micro_batch = micro_batch, .cache_type = type, .kernels = kernels};
      };
      const auto want = logits_of(path, options(1, 512), {512}, kLongTokens);
      const std::string what = kernels + " " + std::string(kv_type_name(type));
      EXPECT_TRUE(same_bits(want, logits_of(path, options(8, 1), {1}, kLongTokens))) << what;
      EXPECT_TRUE(same_bits(want, logits_of(path, options(3, 37), {100, 1, 2}, kLongTokens)))
          << what;
    }
  }
}

// Whoever calls may round otherwise and flush subnormal numbers, as audio software does: threads
// inherit it, results do not show it, and the caller still has it afterwards.
TEST(Invariance, TheCallersFloatMode) {
  const std::string path = converted(kTiny, DType::kQ4_0, true);
  const auto want = logits_of(path, {.threads = 1}, {512});
  const auto draw = [&] {
    Sampler sampler({.seed = 7, .temperature = 1.3f, .top_k = 0, .min_p = 0});
    std::vector<Token> drawn;
    for (int i = 0; i < 20; ++i) drawn.push_back(sampler.sample(std::span(want).first(4096)));
    return drawn;
  };
  const auto tokens = draw();
  std::thread([&] {
    for (const int rounding : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
      flush_subnormals();
      std::fesetround(rounding);
      volatile float least = FLT_MIN;
      ASSERT_EQ(least / 2, 0);
      for (const int threads : {1, 3}) {
        EXPECT_TRUE(same_bits(want, logits_of(path, {.threads = threads}, {90, 1, 37})))
            << rounding << " -t " << threads;
      }
      EXPECT_EQ(draw(), tokens);
      EXPECT_EQ(std::fegetround(), rounding);
      EXPECT_EQ(least / 2, 0);
    }
  }).join();
}

#if defined(__x86_64__)
// Machines that have the instructions prove that the emulated tables compute what they stand for.
TEST(Invariance, EmulatedTablesHaveTheBitsOfRealOnes) {
  const auto usable = usable_kernels();
  int compared = 0;
  for (const KernelTable* table : usable) {
    const std::string emulated = std::string(table->name) + "_emulated";
    if (std::ranges::none_of(usable, [&](auto* other) { return other->name == emulated; }))
      continue;
    ++compared;
    for (const DType type : {DType::kF16, DType::kQ8_0, DType::kQ4_0}) {
      const std::string path = converted(kTiny, type, true);
      const std::string real(table->name);
      EXPECT_TRUE(same_bits(logits_of(path, {.threads = 1, .kernels = real}, {90, 1, 37}),
                            logits_of(path, {.threads = 1, .kernels = emulated}, {90, 1, 37})))
          << emulated << ' ' << dtype_name(type);
    }
  }
  if (compared == 0) GTEST_SKIP() << "this CPU has none of the instructions";
}
#endif

// The budget that has room for just so many experts beside a full context.
uint64_t budget_for(const MemoryPlan& plan, int64_t tokens, int64_t experts) {
  return plan.fixed(tokens) + plan.kv_full + static_cast<uint64_t>(experts) * plan.expert;
}

// Experts that come from the file, few or many at a time, make the same logits. Other types of
// blocks: shapes/types_test.cc.
TEST(Invariance, Memory) {
  std::vector<std::string> folders{kTiny};
  folders.insert(folders.end(), kVariants.begin(), kVariants.end());
  for (const std::string& folder : folders) {
    for (const DType type : {DType::kQ4_0, DType::kF16}) {
      for (const bool transpose : {false, true}) {
        const std::string path = converted(folder, type, transpose);
        EngineOptions options{.threads = 1, .context = kTokens + 6};
        const auto want = logits_of(path, options, {kTokens});
        options.memory = uint64_t{1} << 30;
        options.page = test_page();
        const std::pair<int, int64_t> ways[] = {{1, 1}, {2, 7}, {1, 64}, {2, 64}};
        for (const auto& [threads, micro_batch] : ways) {
          options.threads = threads;
          options.micro_batch = micro_batch;
          Engine engine(path, options);
          const MemoryPlan plan = engine.memory()->plan;
          // Just what one token needs in a layer; half; more than everything.
          for (const int64_t experts : {plan.fewest, plan.experts / 2, plan.experts + 9}) {
            engine.set_memory(budget_for(plan, plan.tokens, experts));
            EXPECT_TRUE(same_bits(want, logits_of(engine, {kTokens})))
                << folder << " " << dtype_name(type) << (transpose ? " transposed" : "")
                << ", room for " << experts << " experts, -ub " << micro_batch << " -t " << threads;
          }
          const uint64_t least = budget_for(plan, 1, plan.fewest);
          EXPECT_TRUE(
              testkit::contains(error_of([&] { engine.set_memory(least - 1); }), "is too small"));
        }
      }
    }
  }
}

// The budget that the message names works, and the logits are the same in it.
TEST(Invariance, SmallestMemory) {
  const std::string path = converted(kTiny, DType::kQ4_0, true);
  EngineOptions options{.threads = 2, .context = 256, .page = test_page()};
  const auto want = logits_of(path, options, {kTokens});
  options.memory = 1 << 20;
  const std::string message = error_of([&] { const Engine engine(path, options); });
  const std::string before = "is too small: ";
  ASSERT_NE(message.find(before), std::string::npos) << message;
  // A MiB more: what the process had before counts as well, and it may have grown since.
  options.memory = (std::stoull(message.substr(message.find(before) + before.size())) + 1) << 20;
  EXPECT_TRUE(same_bits(want, logits_of(path, options, {kTokens})));
}

// Two conversations in one batch, token by token, compute what each computes alone.
TEST(Invariance, SequencesDoNotDisturbEachOther) {
  constexpr size_t kLength = 140;
  const std::string path = converted(kTiny, DType::kQ4_0, true);
  const auto ids = some_tokens(2 * kLength);
  const auto alone = [&](size_t begin, size_t n) {
    Engine engine(path, {});
    const auto logits =
        engine.evaluate(testkit::feed_at(engine, std::span(ids).subspan(begin, n), 0, true));
    return std::vector<float>(logits.begin(), logits.end());
  };
  const auto a = alone(0, kLength);
  const auto b = alone(kLength, kLength);
  Engine engine(path, {.sequences = 2});
  const SequenceId first = engine.cache().create(), second = engine.cache().create();
  const auto V = static_cast<size_t>(engine.config().vocab);
  for (size_t i = 0; i < kLength; ++i) {
    const Feed feeds[] = {{first, {&ids[i], 1}}, {second, {&ids[kLength + i], 1}}};
    const auto both = engine.evaluate(feeds);
    ASSERT_EQ(std::memcmp(both[0].logits.data(), &a[i * V], V * sizeof(float)), 0) << i;
    ASSERT_EQ(std::memcmp(both[1].logits.data(), &b[i * V], V * sizeof(float)), 0) << i;
  }
}

}  // namespace
}  // namespace st::golden
