// What `bench` measures is what it says: the right tokens are counted, from the right place.
#include "study/bench.h"

#include <gtest/gtest.h>

#include "golden/fixture.h"
#include "study/verify.h"
#include "support/bytes.h"
#include "support/feed_at.h"

namespace st::golden {
namespace {

using testkit::error_of;

TEST(Bench, CountsTheTestAndNothingElse) {
  Engine engine(converted(kTiny, DType::kQ8_0, true), {.threads = 2, .context = 600});
  for (const BenchTest& test : {BenchTest{.prompt = 70}, BenchTest{.generate = 5, .depth = 200},
                                BenchTest{.prompt = 70, .generate = 5, .depth = 200}}) {
    std::vector<int> told;
    const BenchResult result = run_bench(engine, test, {.repetitions = 2, .micro_batch = 32},
                                         [&](int repetition) { told.push_back(repetition); });
    EXPECT_EQ(told, (std::vector<int>{-1, 0, 1}));
    EXPECT_EQ(result.stats.tokens, static_cast<uint64_t>(2 * test.tokens()));
    const int64_t passes = (test.prompt + 31) / 32 + test.generate;
    EXPECT_EQ(result.stats.passes, static_cast<uint64_t>(2 * passes)) << test.name();
    ASSERT_EQ(result.seconds.size(), 2u);
    ASSERT_EQ(result.first_token.size(), 2u);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_GT(result.first_token[i], 0);
      EXPECT_LE(result.first_token[i], result.seconds[i]);
    }
  }
  EXPECT_EQ(error_of([&] { run_bench(engine, {.prompt = 500, .depth = 101}, {}); }),
            "test pp500 @ d101 of 601 tokens: want 1..600");
  EXPECT_EQ(error_of([&] { run_bench(engine, {.depth = 100}, {}); }),
            "test  @ d100 of 100 tokens: want 1..600");
}

// Each call of the threads costs microseconds, so a layer makes few: 4 to decode (less here, where
// some steps are too small to share), up to 16 for a long prompt.
TEST(Bench, FewCallsOfTheThreads) {
  Engine engine(converted(kTiny, DType::kQ4_0, true), {.threads = 2});
  const auto layers = static_cast<uint64_t>(engine.config().layers);
  const auto calls = [&](const BenchTest& test) {
    const BenchResult result = run_bench(engine, test, {.repetitions = 1});
    return result.stats.pool_calls;
  };
  EXPECT_LE(calls({.generate = 10}), 10 * (4 * layers + 2));
  EXPECT_LE(calls({.prompt = 256}), 16 * layers + 2);
  EXPECT_GE(calls({.prompt = 256}), 4 * layers);
}

// Repetitions rely on it: sliding layers forget nothing that is needed to start again within a
// micro-batch (the shipped model's window is 128).
TEST(Bench, GoingBackByAMicroBatchFindsTheSameContext) {
  constexpr int64_t kDepth = 300;
  constexpr int64_t kBack = 16;
  Engine engine(converted(kTiny, DType::kQ8_0, true), {.micro_batch = kBack});
  const std::vector<Token> tokens = verify_tokens(engine.tokenizer(), kDepth + kBack);
  const auto tail = std::span(tokens).subspan(kDepth);
  engine.evaluate(testkit::feed_at(engine, std::span(tokens).first(kDepth), 0, false));
  const auto from_depth = [&] {
    const auto logits = engine.evaluate(testkit::feed_at(engine, tail, kDepth, true));
    return std::vector<float>(logits.begin(), logits.end());
  };
  const std::vector<float> first = from_depth();
  EXPECT_EQ(from_depth(), first);
}

}  // namespace
}  // namespace st::golden
