// Weights that come behind while an engine computes: the same bits, and no token from what has not
// been read and checked.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "base/file.h"
#include "engine/engine.h"
#include "families/fixture.h"
#include "golden/fixture.h"
#include "shapes/made_model.h"
#include "support/bytes.h"
#include "support/feed_at.h"
#include "support/temporary_folder.h"

namespace st {
namespace {

using testkit::error_of;

std::vector<Token> prompt(size_t n) {
  std::vector<Token> ids;
  for (size_t i = 0; i < n; ++i) ids.push_back(static_cast<Token>((i * 79 + 13) % 200 + 20));
  return ids;
}

// Logits after a prompt and after each of some tokens.
std::vector<std::vector<float>> logits_of(Engine& engine) {
  std::vector<std::vector<float>> rows;
  const auto feed = [&](std::span<const Token> tokens, int64_t from) {
    const auto row = engine.evaluate(testkit::feed_at(engine, tokens, from));
    rows.emplace_back(row.begin(), row.end());
  };
  feed(prompt(40), 0);
  for (int64_t i = 40; i < 44; ++i) {
    const Token best =
        static_cast<Token>(std::ranges::max_element(rows.back()) - rows.back().begin());
    feed({&best, 1}, i);
  }
  return rows;
}

// With experts and without, the embedding the head or not, rows that stay in the file.
TEST(Behind, TheBitsAreTheSame) {
  std::vector<std::string> models{
      golden::converted(golden::kTiny, DType::kQ4_0, true),
      golden::converted("variants/micro-odd-sharded", DType::kQ8_0, false)};
  for (const char* folder : {"micro-qwen3-untied", "micro-qwen3moe", "micro-gemma3n"}) {
    models.push_back(families::converted(folder, DType::kQ4_0));
  }
  for (const std::string& path : models) {
    Engine before(path, {.threads = 2, .context = 64, .micro_batch = 16});
    const auto want = logits_of(before);
    for (const int behind : {0, 1, 8}) {
      for (const int threads : {1, 3}) {
        Engine engine(path,
                      {.threads = threads, .context = 64, .micro_batch = 16, .behind = behind});
        EXPECT_EQ(logits_of(engine), want) << path << " " << behind << " " << threads;
      }
    }
  }
}

class BehindMade : public testing::Test {
 protected:
  BehindMade() {
    shape.config.layers = 4;
    shape.config.hidden = 64;
    shape.config.heads = 2;
    shape.config.kv_heads = 1;
    shape.config.head_dim = 32;
    shape.config.context = 64;
    shape.ffn.experts = 8;
    shape.ffn.used = 2;
    shape.ffn.width = 32;
    shape.type = DType::kQ8_0;
    shape.tied = false;
    shapes::write_model(shape, 3, path);
  }
  // Writes over the model: bytes of a tensor from `at` on.
  void write(std::string_view tensor, uint64_t at, std::string_view bytes) const {
    const uint64_t offset = GgufModel(path).find(tensor).info->offset + at;
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file << bytes;
  }
  EngineOptions options(std::optional<int> behind) const {
    return {.threads = 2, .behind = behind};
  }
  std::string error(Engine& engine, Token token = 42) const {
    return error_of([&] { engine.evaluate(testkit::feed_at(engine, {&token, 1}, 0)); });
  }

  const TemporaryFolder folder;
  const std::string path = folder / "made.gguf";
  shapes::Shape shape = shapes::smallest();
};

// With nobody who reads ahead, a token has what it needs read and no more.
TEST_F(BehindMade, TheFirstTokenNeedsAPart) {
  Engine engine(path, options(0));
  std::set<std::pair<int64_t, int32_t>> used;
  engine.observe_routing([&](int64_t l, std::span<const int32_t> chosen) {
    for (const int32_t e : chosen) used.insert({l, e});
  });
  const Token token = 42;
  engine.evaluate(testkit::feed_at(engine, {&token, 1}, 0));
  ASSERT_EQ(used.size(), 8u);
  const Weights& weights = engine.model().weights();
  const ExpertLayer& layer = weights.experts.front();
  const uint64_t expert = layer.gate.file.bytes + layer.up.file.bytes + layer.down.file.bytes;
  const uint64_t all = engine.model().store().bytes();
  EXPECT_EQ(engine.model().begin_weights(0)->bytes_read(),
            all - weights.embedding.matrix.bytes() - (4 * 8 - used.size()) * expert);
  EXPECT_GT(all, 2 * engine.model().begin_weights(0)->bytes_read());
  // Others of the model wait for all of it.
  Engine other(engine.model().reopened({}).name(), options(std::nullopt));
}

// What is wrong is named as it is when weights are read before, and ends every pass from then on.
TEST_F(BehindMade, AWeightThatIsWrongIsNamed) {
  constexpr std::string_view kInfinite("\x00\x7c", 2);
  write("blk.3.ffn_up_exps.weight", 0, kInfinite);
  const std::string want = error_of([&] { Engine(path, options(std::nullopt)); });
  EXPECT_EQ(want,
            "tensor 'blk.3.ffn_up_exps.weight': matrix 0: a scale of its Q8_0 blocks is not a "
            "finite number");
  Engine engine(path, options(2));
  std::string first = "no error";
  while (first == "no error") first = error(engine);  // until the loader has come across it
  EXPECT_EQ(first, path + ": " + want);
  EXPECT_EQ(error(engine, 43), path + ": " + want);
}

TEST_F(BehindMade, ALayerThatIsWrongIsNamedBeforeItIsUsed) {
  write("blk.2.attn_norm.weight", 0, std::string(64 * sizeof(float), '\0'));
  Engine engine(path, options(0));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(error(engine),
              path + ": tensor 'blk.2.attn_norm.weight': nothing but zeros; incomplete download?");
  }
}

TEST_F(BehindMade, AFileThatIsWrittenToIsAnError) {
  Engine engine(path, options(0));
  EXPECT_EQ(error(engine), "no error");
  write("output_norm.weight", 0, "x");
  EXPECT_EQ(error(engine), path + ": the file was changed while in use");
}

TEST_F(BehindMade, AStopEndsThePass) {
  Engine engine(path, options(0));
  Stop stop;
  engine.observe_routing([&](int64_t l, std::span<const int32_t>) {
    if (l == 1) stop.request();
  });
  const Token token = 42;
  EXPECT_EQ(error_of([&] { engine.evaluate(testkit::feed_at(engine, {&token, 1}, 0), stop); }),
            "interrupted");
  EXPECT_EQ(error(engine), "no error");
}

}  // namespace
}  // namespace st
