// Work that is asked to stop does so soon, and leaves an engine that computes what it did before.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

#include "base/file.h"
#include "engine/generate.h"
#include "engine/perplexity.h"
#include "golden/fixture.h"
#include "study/bench.h"
#include "study/verify.h"
#include "support/bytes.h"
#include "support/feed_at.h"

namespace st {
namespace {

using golden::converted;
using golden::kTiny;
using golden::shipped;
using testkit::error_of;
using Clock = std::chrono::steady_clock;

constexpr int64_t kContext = 2048;
constexpr std::chrono::milliseconds kAnswer{testkit::kSanitized ? 3000 : 500};
constexpr int kMoments = testkit::kSanitized ? 5 : 20;

class StopTest : public testing::TestWithParam<uint64_t> {  // the budget
 protected:
  StopTest()
      : engine(converted(kTiny, DType::kQ4_0, true),
               {.threads = 2, .context = kContext, .sequences = 2, .memory = GetParam()}),
        ids(engine.tokenizer().encode(read_text_file(shipped("valid.txt")), false)) {
    ids.resize(kContext);
  }

  // What `work` throws when its stop is requested after so long.
  template <typename Work>
  std::optional<ErrorCode> stopped(std::chrono::microseconds after, Work&& work) {
    Stop stop;
    Clock::time_point requested;
    std::thread other([&] {
      std::this_thread::sleep_for(after);
      requested = Clock::now();
      stop.request();
    });
    std::optional<ErrorCode> code;
    try {
      work(stop);
    } catch (const Error& e) {
      code = e.code();
      EXPECT_STREQ(e.what(), "interrupted");
    }
    const auto end = Clock::now();
    other.join();
    EXPECT_LT(end - requested, kAnswer);
    return code;
  }

  Engine engine;
  std::vector<Token> ids;
};

TEST_P(StopTest, APromptStopsAtAnyMomentAndIsReadAgain) {
  const auto prompt = [&] { return testkit::feed_at(engine, std::span(ids).first(700), 0); };
  const auto start = Clock::now();
  const auto logits = engine.evaluate(prompt());
  const std::vector<float> want(logits.begin(), logits.end());
  const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
  std::mt19937 random(7);
  int cancelled = 0;
  for (int i = 0; i < kMoments; ++i) {
    const std::chrono::microseconds after(random() % static_cast<uint64_t>(whole.count()));
    const auto code = stopped(after, [&](const Stop& stop) { engine.evaluate(prompt(), stop); });
    EXPECT_EQ(code.value_or(ErrorCode::kCancelled), ErrorCode::kCancelled);
    cancelled += code.has_value();
    const auto again = engine.evaluate(prompt());
    ASSERT_TRUE(std::ranges::equal(again, want)) << i;
  }
  EXPECT_GT(cancelled, 0);
}

TEST_P(StopTest, OneThatWasRequestedBeforeComputesNothing) {
  Stop stop;
  stop.request();
  int layers = 0;
  engine.observe_routing([&](int64_t, std::span<const int32_t>) { ++layers; });
  const Feed feed = testkit::feed_at(engine, std::span(ids).first(8), 0);
  EXPECT_EQ(error_of([&] { engine.evaluate(feed, stop); }), "interrupted");
  EXPECT_EQ(layers, 0);
  engine.evaluate(feed);  // another's stop
  EXPECT_EQ(layers, engine.config().layers);
}

// Within one micro-batch, between one layer and the next.
TEST_P(StopTest, IsLookedAtInEachLayer) {
  Stop stop;
  int layers = 0;
  engine.observe_routing([&](int64_t, std::span<const int32_t>) {
    if (++layers == 3) stop.request();
  });
  const Feed feed = testkit::feed_at(engine, std::span(ids).first(8), 0);
  EXPECT_EQ(error_of([&] { engine.evaluate(feed, stop); }), "interrupted");
  EXPECT_EQ(layers, 3);
}

TEST_P(StopTest, WhateverRunsAnEngine) {
  using std::chrono::milliseconds;
  EXPECT_EQ(stopped(milliseconds(150),
                    [&](const Stop& stop) {
                      run_bench(engine, {.prompt = 512}, {.repetitions = 10'000}, {}, stop);
                    }),
            ErrorCode::kCancelled);
  const auto tokens = verify_tokens(engine.tokenizer(), kContext);
  EXPECT_EQ(
      stopped(milliseconds(50),
              [&](const Stop& stop) { hash_logits(engine, tokens, PromptSplit::kSingle, stop); }),
      ErrorCode::kCancelled);
  const auto text = engine.tokenizer().encode(read_text_file(shipped("valid.txt")), false);
  EXPECT_EQ(
      stopped(milliseconds(50), [&](const Stop& stop) { perplexity(engine, text, 512, {}, stop); }),
      ErrorCode::kCancelled);
  Stop stop;
  int pieces = 0;
  const GenerateResult result = generate(
      engine, std::span(ids).first(10), {.session = {.ignore_eos = true}},
      [&](std::string_view) {
        if (++pieces == 3) stop.request();
        return true;
      },
      stop);
  EXPECT_EQ(result.reason, FinishReason::kStopped);
  EXPECT_GE(result.generated_tokens, 3);
}

TEST_P(StopTest, LoadingStops) {
  const std::string path = converted(kTiny, DType::kQ4_0, true);
  Stop stop;
  uint64_t last = 0;
  const EngineOptions options{.threads = 1,
                              .memory = GetParam(),
                              .progress = [&](std::string_view, uint64_t done, uint64_t) {
                                last = done;
                                stop.request();
                              }};
  EXPECT_EQ(error_of([&] { Engine(path, options, stop); }), "interrupted");
  EXPECT_GT(last, 0u);
}

INSTANTIATE_TEST_SUITE_P(Budgets, StopTest, testing::Values(uint64_t{0}, uint64_t{1} << 30));

}  // namespace
}  // namespace st
