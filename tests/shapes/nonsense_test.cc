// Well-formed files with numbers that are none: an error that says where, never another answer.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/engine.h"
#include "shapes/made_model.h"
#include "support/bytes.h"
#include "support/feed_at.h"
#include "support/temporary_folder.h"

namespace st::shapes {
namespace {

using testkit::error_of;

constexpr const char* kLogit = "the model computed a logit that is not a finite number";

// All experts are used, so every value of the file but most of the embedding is.
Shape small() {
  Shape shape = smallest();
  ModelConfig& c = shape.config;
  c.layers = 2;
  c.hidden = 40;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 6;
  shape.ffn.experts = shape.ffn.used = 3;
  shape.ffn.width = 20;
  shape.tied = false;
  return shape;
}

// What evaluate() says, after the name of the file, of a prompt that uses token 0 first.
std::string error_with(const Shape& shape, const Spoil& spoil, const EngineOptions& options) {
  static const TemporaryFolder folder;
  const std::string path = folder / "spoiled.gguf";
  write_model(shape, 1, path, spoil);
  std::vector<Token> tokens(40);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<Token>(i * 5);
  const std::string error = error_of([&] {
    Engine engine(path, options);
    engine.evaluate(testkit::feed_at(engine, tokens, 0, options.head.mode == LmHead::kDense));
  });
  return error.starts_with(path + ": ") ? error.substr(path.size() + 2) : error;
}

std::vector<std::string> all_tensors(const Shape& shape) {
  std::vector<std::string> names;
  const Spoil note = [&](std::string_view name, std::span<float>) { names.emplace_back(name); };
  EXPECT_EQ(error_with(shape, note, {.threads = 1}), "no error");
  return names;
}

// One NaN, first or last in any tensor, is noticed with every table and every type of cache: some
// of the tokens activate its neuron.
TEST(Nonsense, ANaNAnywhereIsNoticed) {
  for (const bool transposed : {false, true}) {
    Shape shape = small();
    shape.down_transposed = transposed;
    for (const std::string& tensor : all_tensors(shape)) {
      for (const bool last : {false, true}) {
        if (last && tensor == "token_embd.weight") continue;  // of a token that does not occur
        const Spoil spoil = [&](std::string_view name, std::span<float> values) {
          if (name == tensor) (last ? values.back() : values.front()) = std::nanf("");
        };
        for (const KernelTable* table : usable_kernels()) {
          for (const KvType type : {KvType::kF32, KvType::kI16, KvType::kI8}) {
            const std::string error =
                error_with(shape, spoil,
                           {.threads = 2, .cache_type = type, .kernels = std::string(table->name)});
            EXPECT_TRUE(error == kLogit || testkit::contains(error, ": router score of expert "))
                << tensor << (last ? " last " : " first ") << table->name << " "
                << kv_type_name(type) << (transposed ? " transposed: " : ": ") << error;
          }
        }
      }
    }
  }
}

TEST(Nonsense, ARouterThatChoosesByNoNumberIsNamed) {
  for (const float nonsense : {std::nanf(""), INFINITY, -INFINITY}) {
    for (const uint64_t memory : {uint64_t{0}, uint64_t{1} << 30}) {
      const Spoil spoil = [&](std::string_view name, std::span<float> values) {
        if (name == "blk.1.ffn_gate_inp.weight") values[40] = nonsense;  // expert 1's first
      };
      EXPECT_EQ(error_with(small(), spoil, {.threads = 1, .memory = memory}),
                "layer 1: router score of expert 1 is not a finite number");
    }
  }
}

TEST(Nonsense, APredictorThatIsNoNumberIsNamed) {
  Shape shape = small();
  shape.rank = 2;
  const Spoil spoil = [&](std::string_view name, std::span<float> values) {
    if (name == "lm_head_profiler.weight") values[2 * 40 + 2 * 9] = std::nanf("");  // row 9 of Up
  };
  EXPECT_EQ(error_with(shape, spoil, {.threads = 1, .head = {.mode = LmHead::kSparse}}),
            "lm-head predictor: score of token 9 is not a finite number");
}

// Its scores would be written past the room for inputs of projections.
TEST(Nonsense, APredictorWiderThanItsInputIsRefused) {
  Shape shape = small();
  shape.config.hidden = 32;
  shape.config.head_dim = 8;
  shape.ffn.width = 32;
  shape.type = DType::kQ8_0;
  const auto error = [&](int64_t rank) {
    shape.rank = rank;
    return error_with(shape, {},
                      {.threads = 1, .micro_batch = 1, .head = {.mode = LmHead::kSparse}});
  };
  EXPECT_EQ(error(32), "no error");
  EXPECT_EQ(error(64), "tensor 'lm_head_profiler.weight': rank 64, want 1..32");
  EXPECT_EQ(error(16384), "tensor 'lm_head_profiler.weight': rank 16384, want 1..32");
}

}  // namespace
}  // namespace st::shapes
