// Perplexity of the shipped validation text, as golden/perplexity.json defines it.
#include "engine/perplexity.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "golden/fixture.h"

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

}  // namespace
}  // namespace st::golden
