// Every legal shape of a model gives an answer, the same to the bit with any number of threads.
//
// ST_TEST_SCALE times as many shapes as usual are drawn: with 50, more than 2,000.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "engine/engine.h"
#include "kernels/kernels.h"
#include "model/attention.h"
#include "shapes/made_model.h"
#include "support/feed_at.h"
#include "support/scale.h"
#include "support/temporary_folder.h"

namespace st::shapes {
namespace {

constexpr int64_t kUsual = 42;  // shapes

std::vector<Token> some_bytes(std::mt19937& random, size_t n) {
  std::vector<Token> tokens(n);
  for (Token& token : tokens) token = static_cast<Token>(random() % 256);
  return tokens;
}

// Logits of all tokens but the last, as a prompt, and of the last alone. A sparse head works on the
// end of a prompt only.
std::vector<float> logits_of(const std::string& path, const EngineOptions& options,
                             std::span<const Token> tokens) {
  Engine engine(path, options);
  std::vector<float> all;
  const auto evaluate = [&](std::span<const Token> part, size_t position) {
    if (part.empty()) return;
    const bool every = options.head.mode == LmHead::kDense;
    const auto logits =
        engine.evaluate(testkit::feed_at(engine, part, static_cast<int64_t>(position), every));
    all.insert(all.end(), logits.begin(), logits.end());
  };
  const size_t last = tokens.size() - 1;
  evaluate(tokens.first(last), 0);
  evaluate(tokens.last(1), last);
  return all;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// What 1 thread computes, `ways` compute.
void expect_one_answer(const Shape& shape, uint32_t seed, std::span<const Token> tokens,
                       EngineOptions options, const std::vector<EngineOptions>& ways) {
  static const TemporaryFolder folder;
  const std::string path = folder / "made.gguf";
  write_model(shape, seed, path);
  options.threads = 1;
  const std::vector<float> want = logits_of(path, options, tokens);
  ASSERT_FALSE(want.empty());
  for (const EngineOptions& way : ways) {
    EXPECT_TRUE(same_bits(want, logits_of(path, way, tokens)))
        << "shape " << seed << ": " << shape.text() << ", " << tokens.size() << " tokens, -t "
        << way.threads << " -ub " << way.micro_batch << " --memory " << way.memory;
  }
}

TEST(Shapes, SameBitsForAnyNumberOfThreads) {
  const std::span<const KernelTable* const> tables = usable_kernels();
  for (uint32_t seed = 0; seed < testkit::scaled(kUsual); ++seed) {
    std::mt19937 random(seed);
    const Shape shape = draw_shape(random);
    const size_t lengths[] = {1, 2, 3, 6, 18, 61, 131};
    const std::vector<Token> tokens = some_bytes(random, lengths[random() % std::size(lengths)]);
    EngineOptions options{.kernels = std::string(tables[random() % tables.size()]->name)};
    if (shape.rank > 0) options.head.mode = LmHead::kSparse;
    std::vector<EngineOptions> ways(3, options);
    for (EngineOptions& way : ways) {
      way.threads = static_cast<int>(2 + random() % 63);
      const int64_t batches[] = {1, 2, 7, 64, 512};
      way.micro_batch = batches[random() % std::size(batches)];
    }
    ways.back().memory = uint64_t{1} << 30;
    expect_one_answer(shape, seed, tokens, options, ways);
  }
}

// More threads than there are neurons, columns, heads or rows of anything.
TEST(Shapes, TheSmallestModelWithAsManyThreadsAsMayBeAsked) {
  std::mt19937 random(1);
  const std::vector<Token> tokens = some_bytes(random, 5);
  std::vector<EngineOptions> ways;
  for (const int threads : {2, 3, 64, 257, 1024}) ways.push_back({.threads = threads});
  expect_one_answer(smallest(), 1, tokens, {}, ways);
}

MemoryPlan plan_for(int64_t heads, int64_t head_dim) {
  static const TemporaryFolder folder;
  Shape shape = smallest();
  shape.config.heads = shape.config.kv_heads = heads;
  shape.config.head_dim = head_dim;
  write_model(shape, 1, folder / "heads.gguf");
  return Engine(folder / "heads.gguf", {.threads = 5, .memory = uint64_t{1} << 30}).memory()->plan;
}

// It is of the pass: what a thread has beside that does not depend on how its heads are cut.
TEST(Shapes, ScratchOfAttentionIsPlannedOnce) {
  const MemoryPlan narrow = plan_for(8, 16), wide = plan_for(1, 128);
  const int64_t more =
      attention_scratch(kAttentionQueries, 128) - attention_scratch(kAttentionQueries, 16);
  EXPECT_EQ(wide.logits - narrow.logits, 5 * sizeof(float) * static_cast<uint64_t>(more));
  EXPECT_EQ(wide.threads, narrow.threads);
}

}  // namespace
}  // namespace st::shapes
