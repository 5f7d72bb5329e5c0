// A bundle computes what the model it was made from computes, to the bit.
#include "weights/bundle.h"

#include <gtest/gtest.h>

#include "arch/names.h"
#include "base/checksum.h"
#include "base/error.h"
#include "bundle/bundle_fixture.h"
#include "support/bytes.h"
#include "tensor/blocks.h"

namespace st::golden {
namespace {

using testkit::contains;
using testkit::error_of;

std::vector<float> resident_logits(const std::string& path, const std::string& experts = {}) {
  const ModelOptions opened{.expert_bundle = experts};
  Engine engine(std::make_shared<const Model>(path, opened), {.threads = 2, .context = 64});
  return some_logits(engine);
}

TEST(Bundle, HasTheBitsOfItsModel) {
  const TemporaryFolder folder;
  std::vector<std::string> models = kVariants;
  models.emplace_back(kTiny);
  for (const std::string& name : models) {
    for (const DType type : {DType::kQ4_0, DType::kQ8_0, DType::kF16}) {
      for (const bool transposed : {false, true}) {
        const std::string model = converted(name, type, transposed);
        const std::string bundle = folder / "bundle.gguf";
        write_bundle({.input = model, .output = bundle, .expert_bundle = {}, .progress = {}});
        const std::string what =
            name + " " + std::string(dtype_name(type)) + (transposed ? " transposed" : "");
        const auto want = resident_logits(model);
        EXPECT_TRUE(same_bits(want, resident_logits(bundle))) << what;
        for (const std::string& path : {model, bundle}) {
          const LimitedLogits limited = limited_logits(path);
          EXPECT_TRUE(same_bits(want, limited.all)) << what << " " << path;
          EXPECT_TRUE(same_bits(want, limited.half)) << what << " " << path;
          EXPECT_TRUE(same_bits(want, limited.fewest)) << what << " " << path;
          EXPECT_TRUE(same_bits(want, limited.again)) << what << " " << path;
        }
      }
    }
  }
}

// A kernel with larger pages gives and takes memory in those.
TEST(Bundle, TheSameLogitsWithPagesOfAnySize) {
  const TemporaryFolder folder;
  const std::string model = converted(kTiny, DType::kQ4_0, false);
  const std::string bundle = folder / "bundle.gguf";
  write_bundle({.input = model, .output = bundle, .expert_bundle = {}, .progress = {}});
  const auto want = resident_logits(model);
  for (const uint64_t page : {4096, 16384, 65536}) {
    for (const std::string& path : {model, bundle}) {
      const LimitedLogits limited = limited_logits(path, {}, page);
      for (const auto* logits : {&limited.all, &limited.half, &limited.fewest, &limited.again}) {
        EXPECT_TRUE(same_bits(want, *logits)) << path << ", pages of " << page;
      }
    }
  }
}

// docs/format-bundle.md, computed here once more from the model's blocks: bytes that depend on
// nothing else, so they are the same on every machine that passes.
template <typename Block>
struct Documented;

template <>
struct Documented<BlockQ8_0> {
  static constexpr DType kType = DType::kQ8_0;
  static int quant(const BlockQ8_0& block, size_t i) { return block.qs[i]; }
  // Of output c in a row of the regrouped quants of a neuron.
  static int regrouped(const std::string& row, size_t c) { return static_cast<int8_t>(row[c]); }
  static size_t scale_place(size_t c) {
    const size_t t = c % 128;
    return c - t + 16 * (4 * (t / 64) + t % 16 / 4) + 4 * (t / 16 % 4) + c % 4;
  }
};

template <>
struct Documented<BlockQ4_0> {
  static constexpr DType kType = DType::kQ4_0;
  static int quant(const BlockQ4_0& block, size_t i) {
    return i < 16 ? block.qs[i] & 15 : block.qs[i - 16] >> 4;
  }
  static int regrouped(const std::string& row, size_t c) {
    const auto byte = static_cast<unsigned char>(row[c / 32 * 16 + c % 16]);
    return c % 32 < 16 ? byte & 15 : byte >> 4;
  }
  static size_t scale_place(size_t c) {
    const size_t t = c % 128;
    return c - t + 16 * (t % 32 / 4) + 4 * (t / 32) + c % 4;
  }
};

template <typename Block>
class BundleBytes : public testing::Test {};
using Blocks = testing::Types<BlockQ4_0, BlockQ8_0>;
TYPED_TEST_SUITE(BundleBytes, Blocks);

TYPED_TEST(BundleBytes, AreAsDocumented) {
  using Block = TypeParam;
  using Rules = Documented<Block>;
  const TemporaryFolder folder;
  const std::string path = converted(kTiny, Rules::kType, false);
  write_bundle({.input = path, .output = folder / "b", .expert_bundle = {}, .progress = {}});
  const GgufModel model(path), bundle(folder / "b");
  const size_t D = 256, F = 128, E = 16, L = 8;  // of the tiny model
  const auto blocks_of = [&](std::string_view name, size_t layer, size_t expert) {
    const auto tensor = model.find(names::layer(static_cast<int64_t>(layer), name));
    std::vector<Block> blocks(D * F / 32);
    tensor.source->read_at(tensor.info->offset + expert * blocks.size() * sizeof(Block),
                           std::as_writable_bytes(std::span(blocks)));
    return blocks;
  };
  const size_t block_quants = sizeof(Block::qs), quants = D * F / 32 * block_quants;
  const size_t part = (D * F / 32 * sizeof(Block) + 4095) / 4096 * 4096;
  const auto sums = bundle.find("exps.checksums");
  ASSERT_EQ(sums.info->ne, (std::vector<uint64_t>{24, E, L}));
  for (const auto& [layer, expert] : {std::pair<size_t, size_t>{0, 0}, {3, 7}, {7, 15}}) {
    const auto tensor = bundle.find(fmt::format("blk.{}.exps", layer));
    ASSERT_EQ(tensor.info->ne, (std::vector<uint64_t>{3 * part, E}));
    EXPECT_EQ(tensor.info->offset % 4096, 0u);
    const std::string bytes =
        testkit::read_bytes(*tensor.source, tensor.info->offset + expert * 3 * part, 3 * part);
    std::string want_sums;
    for (size_t i = 0; i < 3; ++i) {
      want_sums += testkit::le(checksum(std::as_bytes(std::span(bytes).subspan(i * part, part))));
      const size_t end = D * F / 32 * sizeof(Block);
      ASSERT_EQ(bytes.substr(i * part + end, part - end), std::string(part - end, '\0'));
    }
    EXPECT_EQ(testkit::read_bytes(*sums.source, sums.info->offset + (layer * E + expert) * 24, 24),
              want_sums);
    for (const auto& [name, at] : {std::pair{names::kFfnGate, size_t{0}}, {names::kFfnUp, part}}) {
      const auto blocks = blocks_of(name, layer, expert);
      for (size_t b = 0; b < blocks.size(); ++b) {
        ASSERT_EQ(bytes.substr(at + block_quants * b, block_quants),
                  std::string(reinterpret_cast<const char*>(blocks[b].qs), block_quants));
        ASSERT_EQ(bytes.substr(at + quants + 2 * b, 2), testkit::le(blocks[b].d));
      }
    }
    // Down came as (D, F) and is regrouped: neuron j, output c.
    const auto down = blocks_of(names::kFfnDown, layer, expert);
    for (size_t j = 0; j < F; ++j) {
      const std::string row = bytes.substr(2 * part + j * quants / F, quants / F);
      for (size_t c = 0; c < D; ++c) {
        const Block& block = down[c * (F / 32) + j / 32];
        ASSERT_EQ(Rules::regrouped(row, c), Rules::quant(block, j % 32));
        ASSERT_EQ(bytes.substr(2 * part + quants + (j / 32 * D + Rules::scale_place(c)) * 2, 2),
                  testkit::le(block.d));
      }
    }
  }
}

TEST(Bundle, SaysWhatItIs) {
  const TemporaryFolder folder;
  const std::string model = converted(kTiny, DType::kQ4_0, true);
  write_bundle({.input = model, .output = folder / "a", .expert_bundle = {}, .progress = {}});
  write_bundle({.input = model, .output = folder / "b", .expert_bundle = {}, .progress = {}});
  EXPECT_EQ(slurp(folder / "a"), slurp(folder / "b"));
  EXPECT_EQ(folder.entries(), 2u);
  const GgufModel bundle(folder / "a");
  EXPECT_TRUE(is_bundle(bundle.metadata()));
  EXPECT_FALSE(is_bundle(GgufModel(model).metadata()));
  EXPECT_EQ(bundle.metadata().find_string("smallthinker.bundle.source_xxh3")->size(), 16u);
  EXPECT_EQ(
      error_of([&] {
        write_bundle(
            {.input = folder / "a", .output = folder / "c", .expert_bundle = {}, .progress = {}});
      }),
      folder / "a" + ": is a bundle already");
  EXPECT_EQ(folder.entries(), 2u);
}

struct Headerless : testing::TestWithParam<const char*> {
  const TemporaryFolder folder;
  const std::string model = converted(GetParam(), DType::kQ4_0, true);
  const std::string stripped = folder / "stripped.gguf", experts = folder / "experts";

  Headerless() {
    strip_file(model, stripped, {});
    spill(experts, headerless_bundle(model));
  }
};

// 256 x 128 needs padding to 4096 bytes, and so do the micro models.
TEST_P(Headerless, HasTheBitsOfTheModel) {
  const auto want = resident_logits(model);
  EXPECT_TRUE(same_bits(want, resident_logits(stripped, experts)));
  EXPECT_TRUE(same_bits(want, resident_logits(model, experts)));
  const LimitedLogits limited = limited_logits(stripped, experts);
  EXPECT_TRUE(same_bits(want, limited.all));
  EXPECT_TRUE(same_bits(want, limited.half));
  EXPECT_TRUE(same_bits(want, limited.fewest));
  write_bundle({.input = stripped,
                .output = folder / "bundle.gguf",
                .expert_bundle = experts,
                .progress = {}});
  EXPECT_TRUE(same_bits(want, resident_logits(folder / "bundle.gguf")));
}

TEST_P(Headerless, IsRefusedUnlessItFits) {
  const auto error = [&](const std::string& path, const std::string& with) {
    return error_of([&] { resident_logits(path, with); });
  };
  EXPECT_TRUE(contains(error(stripped, ""), "stripped of them: say where they are"));
  EXPECT_TRUE(contains(error(stripped, folder / "none"), "none: cannot open"));
  EXPECT_TRUE(contains(error(stripped, model), "is a GGUF file, not a headerless bundle"));
  const std::string bytes = slurp(experts);
  for (const std::string& wrong : {bytes.substr(1), bytes + '\0', std::string(),
                                   bytes.substr(0, bytes.size() / 2), bytes + bytes}) {
    spill(folder / "wrong", wrong);
    EXPECT_TRUE(contains(error(stripped, folder / "wrong"),
                         fmt::format("wrong: {} bytes, want ", wrong.size())));
  }
  EXPECT_TRUE(contains(error(converted(GetParam(), DType::kQ8_0, true), experts),
                       "type Q8_0, but a headerless bundle is Q4_0"));
}

INSTANTIATE_TEST_SUITE_P(Models, Headerless, testing::Values("model", "variants/micro-4b-style"));

TEST(Strip, KeepsEverythingElse) {
  const TemporaryFolder folder;
  const std::string path = converted(kTiny, DType::kQ8_0, true);
  const StripResult result = strip_file(path, folder / "s", {});
  const GgufModel model(path), stripped(folder / "s");
  EXPECT_EQ(result.dropped, 24u);
  EXPECT_EQ(stripped.tensors().size() + 24, model.tensors().size());
  EXPECT_EQ(stripped.metadata().entries().size(), model.metadata().entries().size());
  for (const auto& [info, source] : stripped.tensors()) {
    const auto from = model.find(info->name);
    ASSERT_EQ(testkit::read_bytes(*source, info->offset, info->bytes),
              testkit::read_bytes(*from.source, from.info->offset, from.info->bytes));
  }
  EXPECT_TRUE(contains(error_of([&] { strip_file(folder / "s", folder / "t", {}); }),
                       "has no expert tensors to drop"));
  EXPECT_EQ(folder.entries(), 1u);
  write_bundle({.input = path, .output = folder / "b", .expert_bundle = {}, .progress = {}});
  strip_file(folder / "b", folder / "u", {});
  EXPECT_EQ(slurp(folder / "u"), slurp(folder / "s"));
}

}  // namespace
}  // namespace st::golden
