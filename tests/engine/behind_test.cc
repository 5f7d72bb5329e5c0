// Weights that come behind while an engine computes: the same bits, and no token from what has not
// been read and checked.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/file.h"
#include "engine/engine.h"
#include "experts/hot_set.h"
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

// Experts of the whole model in the order in which their last part comes, if nobody asks.
std::vector<std::pair<int64_t, int32_t>> order_of(const Engine& engine) {
  const std::shared_ptr<WeightLoader> loader = engine.model().begin_weights(0);
  const std::vector<ExpertLayer>& layers = engine.model().weights().experts;
  std::vector<std::pair<int64_t, int32_t>> order;
  loader->await_all(
      [&](std::string_view, uint64_t, uint64_t) {
        for (int64_t l = 0; l < std::ssize(layers); ++l) {
          for (int32_t e = 0; e < 8; ++e) {
            const bool here = std::ranges::all_of(kEachPart, [&](ExpertPart part) {
              return loader->here(layers[static_cast<size_t>(l)][part].unit + e);
            });
            const std::pair expert(l, e);
            if (here && !std::ranges::count(order, expert)) order.push_back(expert);
          }
        }
      },
      Stop::never());
  return order;
}

// By a file, or by what somebody who has it knows.
TEST_F(BehindMade, TheHottestComeFirst) {
  std::vector<float> rates(4 * 8, 0.1f);
  rates[3 * 8 + 5] = 0.9f;
  rates[0 * 8 + 2] = 0.5f;
  const std::string text = format_hot_set(rates, 4, 8);
  const std::string file = folder / "hot";
  std::ofstream(file) << text;
  using Order = std::vector<std::pair<int64_t, int32_t>>;
  const Order hottest{{3, 5}, {0, 2}, {0, 0}};
  const auto first = [](const Order& order) { return Order(order.begin(), order.begin() + 3); };
  {
    EngineOptions with_file = options(0);
    with_file.hot_set = file;
    const Engine engine(path, with_file);
    const Order order = order_of(engine);
    EXPECT_EQ(order.size(), 4u * 8);
    EXPECT_EQ(first(order), hottest);
  }
  {
    Engine engine(path, options(0));
    engine.begin_with(text);
    EXPECT_EQ(first(order_of(engine)), hottest);
  }
  const Engine engine(path, options(0));
  EXPECT_EQ(first(order_of(engine)), (Order{{0, 0}, {0, 1}, {0, 2}}));
}

TEST_F(BehindMade, AHotSetOfAnotherModelIsRefused) {
  const std::string file = folder / "hot";
  std::ofstream(file) << format_hot_set(std::vector<float>(2 * 8, 0.1f), 2, 8);
  EngineOptions other = options(0);
  other.hot_set = file;
  EXPECT_EQ(error_of([&] { Engine(path, other); }),
            file + ": hot set of another model: 'layers 2 experts 8', want 'layers 4 experts 8'");
}

// Whether experts come behind, were there before, or come and go in a budget.
TEST_F(BehindMade, UsesAreCountedAlikeInEachStore) {
  const auto hot_set_after = [&](EngineOptions with) {
    const std::string file = folder / "counted";
    std::filesystem::remove(file);
    with.hot_set = file;
    std::string told;
    {
      Engine engine(path, with);
      EXPECT_EQ(engine.hot_set(), "");
      const std::vector<Token> tokens = prompt(20);
      engine.evaluate(testkit::feed_at(engine, tokens, 0));
      told = engine.hot_set();
    }
    EXPECT_EQ(read_text_file(file), told);
    return told;
  };
  EngineOptions limited = options(std::nullopt);
  limited.memory = uint64_t{1} << 40;
  const std::string want = hot_set_after(limited);
  EXPECT_TRUE(want.starts_with("smallthinker-hot-set 1\nlayers 4 experts 8\n")) << want;
  EXPECT_EQ(hot_set_after(options(2)), want);
  EXPECT_EQ(hot_set_after(options(std::nullopt)), want);
  // Nobody counts where nobody wants to know.
  Engine engine(path, options(std::nullopt));
  EXPECT_EQ(error(engine), "no error");
  EXPECT_EQ(engine.hot_set(), "");
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
