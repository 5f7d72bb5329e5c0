// Perplexity of the shipped validation text, as golden/perplexity.json defines it.
#include "engine/perplexity.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "golden/fixture.h"
#include "support/feed_at.h"

namespace st::golden {
namespace {

PerplexityResult measure(DType type, bool transpose, int64_t window,
                         std::optional<KvType> cache_type = {}) {
  Engine engine(converted(kTiny, type, transpose), {.cache_type = cache_type});
  const auto tokens = engine.tokenizer().encode(read_text_file(shipped("valid.txt")), false);
  EXPECT_EQ(tokens.size(), read_golden("golden/perplexity.json")["n_tokens"].get<size_t>());
  return perplexity(engine, tokens, window, {});
}

void expect_near(const PerplexityResult& got, const nlohmann::json& want, double relative) {
  EXPECT_EQ(got.scored, want["scored_tokens"].get<int64_t>());
  EXPECT_EQ(got.windows, want["windows"].get<int64_t>());
  const double ppl = want["ppl"].get<double>();
  EXPECT_NEAR(got.perplexity(), ppl, relative * ppl);
  const double half = want["second_half"]["ppl"].get<double>();
  EXPECT_NEAR(got.perplexity_second_half(), half, relative * half);
}

TEST(Perplexity, F32) {
  const auto golden = read_golden("golden/perplexity.json");
  expect_near(measure(DType::kF32, true, 512), golden["ctx512"], 0.0005);
}

TEST(Perplexity, F32InOtherWindows) {
  const auto golden = read_golden("golden/perplexity.json");
  expect_near(measure(DType::kF32, true, 128), golden["ctx128"], 0.0005);
  expect_near(measure(DType::kF32, true, 1024), golden["ctx1024"], 0.0005);
}

TEST(Perplexity, CacheTypes) {
  const auto golden = read_golden("golden/perplexity.json");
  expect_near(measure(DType::kF32, true, 1024, KvType::kI16), golden["ctx1024"], 0.0005);
  expect_near(measure(DType::kF32, true, 1024, KvType::kI8), golden["ctx1024"], 0.001);
}

// The reference rounds the weights as llama.cpp lays them out (blocks along F) and nothing else.
TEST(Perplexity, Q4_0) {
  expect_near(measure(DType::kQ4_0, false, 512),
              read_golden("golden/perplexity.json")["ctx512_q4_0_weights"], 0.005);
}

// A sink gets what evaluate() returns, bit for bit, but never much at once.
TEST(Perplexity, LogitsInPieces) {
  const std::string path = converted(kTiny, DType::kQ4_0, true);
  for (const uint64_t memory : {uint64_t{0}, uint64_t{1} << 30}) {
    Engine engine(path, {.threads = 2, .context = 256, .micro_batch = 64, .memory = memory});
    const auto V = static_cast<size_t>(engine.config().vocab);
    const auto ids = engine.tokenizer().encode(read_text_file(shipped("valid.txt")), false);
    const auto prompt = [&] {
      return testkit::feed_at(engine, std::span(ids).first(150), 0, true);
    };
    const auto all = engine.evaluate(prompt());
    const std::vector<float> want(all.begin(), all.end());
    std::vector<float> got;
    engine.evaluate(prompt(), [&](std::span<const float> rows) {
      EXPECT_LE(rows.size(), static_cast<size_t>(kSinkRows) * V);
      got.insert(got.end(), rows.begin(), rows.end());
    });
    EXPECT_TRUE(got == want);
  }
}

// Rows for a sink take memory that experts had.
TEST(Perplexity, LogitsInPiecesCountInABudget) {
  Engine engine(converted(kTiny, DType::kQ4_0, true),
                {.threads = 1, .context = 256, .memory = uint64_t{1} << 30});
  MemoryPlan plan = engine.memory()->plan;
  const uint64_t all =
      plan.fixed(plan.tokens) + plan.kv_full + static_cast<uint64_t>(plan.experts) * plan.expert;
  engine.set_memory(all);
  ASSERT_EQ(engine.memory()->slots, plan.experts);
  const auto ids = engine.tokenizer().encode(read_text_file(shipped("valid.txt")), false);
  // As large as plans go, in tokens and positions.
  engine.evaluate(testkit::feed_at(engine, std::span(ids).first(256), 0, true),
                  [](std::span<const float>) {});
  const uint64_t rows = static_cast<uint64_t>(engine.config().vocab) * (kSinkRows - 2) * 4;
  const auto fewer = static_cast<int64_t>((rows + plan.expert - 1) / plan.expert);
  EXPECT_EQ(engine.memory()->slots, plan.experts - fewer);

  // Where there is no room for so many, fewer at a time.
  const auto V = static_cast<size_t>(engine.config().vocab);
  const auto prompt = [&] { return testkit::feed_at(engine, std::span(ids).first(256), 0, true); };
  const auto logits = engine.evaluate(prompt());
  const std::vector<float> want(logits.begin(), logits.end());
  engine.set_memory(plan.fixed(1) + plan.kv_full +
                    static_cast<uint64_t>(plan.fewest) * plan.expert);
  std::vector<float> got;
  engine.evaluate(prompt(), [&](std::span<const float> part) {
    EXPECT_LE(part.size(), 2 * V);
    got.insert(got.end(), part.begin(), part.end());
  });
  EXPECT_TRUE(got == want);
}

}  // namespace
}  // namespace st::golden
