// Engine::snapshot() beside an engine that runs: what it tells belongs together.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "golden/fixture.h"
#include "support/feed_at.h"

namespace st {
namespace {

using golden::converted;
using golden::kTiny;

TEST(Snapshot, MayBeTakenByAnyThreadAtAnyTime) {
  for (const uint64_t memory : {uint64_t{0}, uint64_t{1} << 30}) {
    Engine engine(
        converted(kTiny, DType::kQ4_0, true),
        {.threads = 2, .context = 64, .head = {.mode = LmHead::kCheck}, .memory = memory});
    EXPECT_EQ(engine.snapshot().positions, 0);
    EXPECT_EQ(engine.snapshot().memory.has_value(), memory > 0);
    std::atomic<bool> over = false;
    std::thread other([&] {
      uint64_t last = 0;
      do {
        const EngineSnapshot seen = engine.snapshot();
        ASSERT_EQ(seen.stats.tokens, static_cast<uint64_t>(seen.positions));
        ASSERT_EQ(seen.stats.passes, seen.stats.tokens);
        ASSERT_GE(seen.stats.tokens, last);
        if (seen.memory) {
          ASSERT_GE(seen.memory->experts.asked, seen.memory->experts.found);
        }
        last = seen.stats.tokens;
      } while (!over);
    });
    for (int i = 0; i < 60; ++i) {
      const Token token = 100 + i;
      engine.evaluate(testkit::feed_at(engine, std::span(&token, 1), i, false));
    }
    over = true;
    other.join();
    const EngineSnapshot seen = engine.snapshot();
    EXPECT_EQ(seen.positions, 60);
    EXPECT_EQ(seen.stats.tokens, engine.stats().tokens);
    EXPECT_EQ(seen.head_agreement.steps, engine.head_agreement().steps);
    engine.reset_stats();
    EXPECT_EQ(engine.snapshot().stats.tokens, 0u);
  }
}

}  // namespace
}  // namespace st
