#include "toys/toy_weight_type.h"

#include <gtest/gtest.h>

#include <utility>

#include "engine/engine.h"
#include "shapes/made_model.h"
#include "support/temporary_folder.h"

namespace st {
namespace {

// With a kernel of its own and without one: rows that are decoded are multiplied as floats are.
TEST(ToyWeightType, GivesTheLogitsOfItsNumbersInF32) {
  const TemporaryFolder folder;
  shapes::Shape shape = shapes::smallest();
  shape.config.hidden = 24, shape.ffn.width = 20, shape.ffn.experts = 3;
  const std::vector<Token> tokens = {1, 2, 3, 250, 0, 7};
  const auto logits = [&](DType type, const char* kernels) {
    shape.type = type;
    shapes::write_model(shape, 9, folder / "toy.gguf");
    Engine engine(folder / "toy.gguf",
                  {.threads = 1, .cache_type = KvType::kF32, .kernels = kernels});
    const SequenceId sequence = engine.cache().create();
    const auto rows = engine.evaluate(Feed{sequence, tokens, Wanted::kAll});
    return std::vector<float>(rows.begin(), rows.end());
  };
  for (const bool transposed : {false, true}) {
    shape.down_transposed = transposed;
    const std::vector<float> want = logits(DType::kF32, "scalar");
    EXPECT_EQ(logits(kFixed16, "scalar"), want);
    EXPECT_EQ(toy_rows_multiplied, 0);
    EXPECT_EQ(logits(kFixed16, "with_kernel"), want);
    EXPECT_GT(std::exchange(toy_rows_multiplied, 0), 0);
  }
}

}  // namespace
}  // namespace st
