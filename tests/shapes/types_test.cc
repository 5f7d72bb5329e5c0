// Every quantised type in every place of a model, down matrices by output and by neuron.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "convert/bundle_file.h"
#include "engine/engine.h"
#include "format/gguf_model.h"
#include "kernels/kernels.h"
#include "shapes/made_model.h"
#include "support/bytes.h"
#include "support/feed_at.h"
#include "support/random_blocks.h"
#include "support/temporary_folder.h"
#include "tensor/matrix.h"
#include "tensor/quantize.h"

namespace st::shapes {
namespace {

// Rows of one super-block, all experts in use; one layer, as several add to what rounding does.
Shape shape_of(DType type, bool transposed) {
  Shape shape = smallest();
  ModelConfig& c = shape.config;
  c.hidden = 256;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 64;
  shape.ffn.experts = shape.ffn.used = 2;
  shape.ffn.width = 256;
  shape.tied = false;
  shape.type = type;
  shape.down_transposed = transposed;
  return shape;
}

std::vector<DType> quantised_types() {
  std::vector<DType> types;
  for (const DTypeInfo& info : all_dtypes()) {
    if (is_split(info.type)) types.push_back(info.type);
  }
  return types;
}

std::vector<float> logits_of(const std::string& path, const EngineOptions& options) {
  std::vector<Token> tokens(40);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<Token>(i * 5);
  Engine engine(path, options);
  const auto logits = engine.evaluate(testkit::feed_at(engine, tokens, 0, true));
  return {logits.begin(), logits.end()};
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// 1: the same direction.
double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

// Some bytes of a file are others, for a while.
class Overwritten {
 public:
  Overwritten(const std::string& path, uint64_t at, const std::vector<std::byte>& bytes)
      : file_(path, std::ios::in | std::ios::out | std::ios::binary),
        at_(static_cast<std::streamoff>(at)),
        before_(bytes.size(), '\0') {
    file_.seekg(at_);
    file_.read(before_.data(), std::ssize(before_));
    write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  ~Overwritten() { write(before_); }
  Overwritten(const Overwritten&) = delete;
  Overwritten& operator=(const Overwritten&) = delete;

 private:
  void write(const std::string& bytes) {
    file_.seekp(at_);
    file_ << bytes << std::flush;
  }

  std::fstream file_;
  const std::streamoff at_;
  std::string before_;
};

class Types : public testing::TestWithParam<DType> {
 protected:
  const TemporaryFolder folder;
  const std::string path = folder / "made.gguf";
};

TEST_P(Types, SameBitsForThreadsBudgetsAndBundles) {
  for (const bool transposed : {false, true}) {
    write_model(shape_of(GetParam(), transposed), 1, path);
    const std::string bundle = folder / "bundle.gguf";
    write_bundle({.input = path, .output = bundle, .expert_bundle = {}, .progress = {}});
    for (const KernelTable* table : usable_kernels()) {
      EngineOptions options{.threads = 1, .kernels = std::string(table->name)};
      const std::vector<float> want = logits_of(path, options);
      options.threads = 3;
      options.micro_batch = 7;
      for (const uint64_t memory : {uint64_t{0}, uint64_t{1} << 30}) {
        options.memory = memory;
        for (const std::string& file : {path, bundle}) {
          EXPECT_TRUE(same_bits(want, logits_of(file, options)))
              << table->name << ' ' << file << (transposed ? " transposed, " : ", ") << memory;
        }
      }
    }
  }
}

// The same weights as floats give the same logits but for activations in 8 bits, whose rounding
// leaves a cosine of 0.9988 to 0.9995 of this model.
TEST_P(Types, AsCloseAsActivationsOfEightBits) {
  const DTypeInfo& info = dtype_info(GetParam());
  for (const bool transposed : {false, true}) {
    const Shape shape = shape_of(info.type, transposed);
    Shape floats = shape;
    floats.type = DType::kF32;
    const Spoil round = [&](std::string_view name, std::span<float> values) {
      if (name.find("norm") != name.npos || name.find("gate_inp") != name.npos) return;
      const auto n = static_cast<int64_t>(values.size());
      std::vector<std::byte> bytes(row_bytes(info, values.size()));
      quantize_row(info.type, values.data(), n, bytes.data());
      dequantize_row(info.type, bytes.data(), n, values.data());
    };
    write_model(floats, 1, path, round);
    const std::vector<float> want = logits_of(path, {.threads = 2});
    write_model(shape, 1, path);
    for (const KernelTable* table : usable_kernels()) {
      const auto got = logits_of(path, {.threads = 2, .kernels = std::string(table->name)});
      EXPECT_GT(cosine(got, want), 0.998) << table->name << (transposed ? " transposed" : "");
    }
  }
}

// Whatever reads them, memory or a bundle, before or while the model computes.
TEST_P(Types, AScaleThatIsNoNumberIsNamed) {
  constexpr const char* kTensors[] = {"token_embd.weight", "blk.0.attn_v.weight",
                                      "blk.0.ffn_gate_exps.weight", "blk.0.ffn_down_exps.weight",
                                      "output.weight"};
  const std::string what =
      fmt::format("a scale of its {} blocks is not a finite number", dtype_name(GetParam()));
  for (const bool transposed : {false, true}) {
    write_model(shape_of(GetParam(), transposed), 1, path);
    const GgufModel model(path);
    for (const std::string name : kTensors) {
      const bool expert = name.find("exps") != name.npos;
      for (const auto& [at, bytes] : testkit::no_numbers(GetParam())) {
        const Overwritten spoiled(path, model.find(name).info->offset + at, bytes);
        const auto error = [&](uint64_t memory) {
          return testkit::error_of([&] { logits_of(path, {.threads = 2, .memory = memory}); });
        };
        EXPECT_EQ(error(0),
                  fmt::format("tensor '{}': {}{}", name, expert ? "matrix 0: " : "", what));
        const std::string streamed = error(uint64_t{1} << 30);
        const std::string where = expert                        ? "expert 0/0 "
                                  : name == "token_embd.weight" ? "row 0: "
                                                                : "tensor '" + name;
        EXPECT_TRUE(testkit::contains(streamed, where) && testkit::contains(streamed, what))
            << name << ": " << streamed;
        if (!expert) continue;
        const std::string refused = testkit::error_of([&] {
          write_bundle({.input = path,
                        .output = folder / "bundle.gguf",
                        .expert_bundle = {},
                        .progress = {}});
        });
        EXPECT_TRUE(testkit::contains(refused, "expert 0 ") && testkit::contains(refused, what))
            << refused;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Types, testing::ValuesIn(quantised_types()),
                         [](const auto& type) { return std::string(dtype_name(type.param)); });

}  // namespace
}  // namespace st::shapes
