#include "study/synth.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <set>

#include "arch/names.h"
#include "base/error.h"
#include "convert/convert.h"
#include "convert/quant_mix.h"
#include "convert/quantize_file.h"
#include "convert/tensor_plan.h"
#include "format/gguf_model.h"
#include "study/synth_archs.h"
#include "study/synth_rows.h"
#include "study/synth_vocab.h"
#include "study/synth_weights.h"
#include "support/bytes.h"
#include "support/shipped.h"
#include "tensor/quantize.h"
#include "text/tokenizer.h"

namespace st {
namespace {

using testkit::contains;
using testkit::error_of;
namespace fs = std::filesystem;

class Synth : public ::testing::Test {
 protected:
  Synth() {
    std::string pattern = (fs::temp_directory_path() / "st-synth-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~Synth() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  // A tiny model with these options.
  std::string make(const std::string& name, SynthOptions options) const {
    options.arch = "tiny";
    options.outfile = path(name);
    synthesize(options);
    return options.outfile;
  }

  std::string bytes(const std::string& file) const {
    const File source(file);
    return testkit::read_bytes(source, 0, source.size());
  }

  size_t files() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  std::string folder_;
};

TEST_F(Synth, TheSeedDecidesEveryByte) {
  const std::string one = bytes(make("a", {.predictor = true, .threads = 1}));
  EXPECT_EQ(one, bytes(make("b", {.predictor = true, .threads = 3})));
  EXPECT_NE(one, bytes(make("c", {.seed = 1, .predictor = true})));
  // Whatever compiler and machine.
  EXPECT_EQ(testkit::fnv1a(one), 3527558530633372457u);
}

// The values of a matrix.
std::vector<float> values_of(const GgufModel& model, std::string_view name) {
  const auto [info, source] = model.find(name);
  std::vector<std::byte> encoded(info->bytes);
  source->read_at(info->offset, encoded);
  std::vector<float> values(info->ne[0] * info->dim(1) * info->dim(2));
  dequantize_row(info->type, encoded.data(), std::ssize(values), values.data());
  return values;
}

TEST_F(Synth, EveryTypeHasTheSameValuesNearly) {
  const GgufModel exact(make("f32", {.type = DType::kF32}));
  const std::string_view name = "blk.3.attn_q.weight";
  const std::vector<float> x = values_of(exact, name);
  for (const DTypeInfo& info : all_dtypes()) {
    // Q4_0 has quantiles of its own.
    if (!can_quantize(info.type) || info.type == DType::kQ4_0) continue;
    const GgufModel made(make("typed", {.type = info.type}));
    ASSERT_EQ(made.find(name).info->type, info.type);
    const std::vector<float> y = values_of(made, name);
    double error = 0, square = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      error += std::pow(x[i] - y[i], 2);
      square += x[i] * x[i];
    }
    EXPECT_LT(error, 0.12 * square) << info.name;
  }
}

TEST_F(Synth, AMixIsThatOfQuantize) {
  for (const char* mix : {"Q4_K_M", "Q2_K", "MXFP4_MOE"}) {
    const GgufModel made(
        make("mixed", {.predictor = true, .type = find_quant_mix(mix)->type, .mix = mix}));
    const std::string floats = make("f16", {.predictor = true, .type = DType::kF16});
    quantize_file({.input = floats, .output = path("quantized"), .mix = mix});
    const GgufModel want(path("quantized"));
    ASSERT_EQ(made.tensors().size(), want.tensors().size());
    for (const auto& tensor : want.tensors()) {
      EXPECT_EQ(made.find(tensor.info->name).info->type, tensor.info->type) << tensor.info->name;
    }
    EXPECT_EQ(made.metadata().get_u32("general.file_type"),
              want.metadata().get_u32("general.file_type"));
  }
}

TEST_F(Synth, HasTheTensorsAndKeysOfAConvertedModel) {
  const std::string folder = testkit::shipped("model");
  for (const bool transpose : {false, true}) {
    const ConvertResult want = convert_hf({.folder = folder,
                                           .outfile = path("converted"),
                                           .type = DType::kQ4_0,
                                           .transpose_down = transpose});
    const GgufModel converted(path("converted"));
    const GgufModel made(make("made", {.transpose_down = transpose}));
    const auto tensors = made.tensors();
    ASSERT_EQ(tensors.size(), want.tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_EQ(tensors[i].info->name, want.tensors[i].name);
      EXPECT_EQ(tensors[i].info->type, want.tensors[i].type) << want.tensors[i].name;
      EXPECT_EQ(tensors[i].info->ne, want.tensors[i].ne) << want.tensors[i].name;
    }
    for (const GgufEntry& entry : converted.metadata().entries()) {
      const GgufValue* value = made.metadata().find(entry.key);
      ASSERT_NE(value, nullptr) << entry.key;
      EXPECT_EQ(value->type, entry.value.type) << entry.key;
      if (const auto* number = std::get_if<uint64_t>(&entry.value.value)) {
        EXPECT_EQ(std::get<uint64_t>(value->value), *number) << entry.key;
      }
    }
  }
}

// Counts and bytes of the published files (pure Q4_0 with a predictor of rank 128).
TEST(SynthPlan, HasTheSizesOfTheReleasedModels) {
  const struct {
    const char* arch;
    size_t tensors;
    uint64_t bytes;
  } kReleased[] = {{"4b", 323, 2'286'535'680}, {"21b", 524, 12'138'775'552}};
  for (const auto& released : kReleased) {
    const SynthArch arch = find_synth_arch(released.arch);
    for (const bool transpose : {false, true}) {
      const auto tensors =
          plan_synth_tensors(arch, {.transpose_down = transpose, .predictor = true});
      EXPECT_EQ(tensors.size(), released.tensors);
      GgufWriter writer;
      uint64_t bytes = 0;
      for (const SynthTensor& tensor : tensors) {
        writer.add_tensor(tensor.name, tensor.type, tensor.ne);
        bytes += writer.tensors().back().bytes;
        uint64_t described = 0;
        for (const SynthRows& part : tensor.parts) {
          described += static_cast<uint64_t>(part.rows) *
                       row_bytes(tensor.type, static_cast<uint64_t>(part.cols));
          Row row;
          part.describe(part.rows - 1, row);
          int64_t blocks = 0;
          for (const Stretch& stretch : row) blocks += stretch.blocks;
          EXPECT_EQ(blocks * 32, part.cols) << tensor.name;
        }
        if (!tensor.floats) {
          EXPECT_EQ(described, writer.tensors().back().bytes) << tensor.name;
        }
      }
      EXPECT_EQ(bytes, released.bytes);
    }
  }
}

// Of every tensor, as the planner describes it.
uint64_t described_bytes(const std::vector<SynthTensor>& tensors) {
  GgufWriter writer;
  uint64_t bytes = 0;
  for (const SynthTensor& tensor : tensors) {
    writer.add_tensor(tensor.name, tensor.type, tensor.ne);
    bytes += writer.tensors().back().bytes;
  }
  return bytes;
}

// Names, types and shapes are those that convert would write.
TEST(SynthPlan, HasTheTensorsOfConvertedFamilies) {
  for (const char* name : {"qwen3-tiny", "qwen3-moe-tiny", "gemma3n-tiny", "qwen3-0.6b", "qwen3-8b",
                           "qwen3-30b-a3b", "gemma3n-e2b"}) {
    for (const DType type : {DType::kQ4_0, DType::kF16}) {
      const SynthArch arch = find_synth_arch(name);
      const auto made = plan_synth_tensors(arch, {.type = type});
      const auto want = plan_every_tensor(arch.hf, type).tensors;
      ASSERT_EQ(made.size(), want.size()) << name;
      for (const PlannedTensor& tensor : want) {
        const auto it = std::ranges::find(made, tensor.name, &SynthTensor::name);
        ASSERT_NE(it, made.end()) << name << " " << tensor.name;
        EXPECT_EQ(it->type, tensor.type) << name << " " << tensor.name;
        EXPECT_EQ(it->ne, tensor.ne) << name << " " << tensor.name;
      }
    }
  }
}

// Counts of the published files; bytes follow from published shapes, at 18 bytes for 32 weights.
TEST(SynthPlan, HasTheSizesOfQwen3) {
  const struct {
    const char* arch;
    size_t tensors;
    uint64_t q4_0, f16;
  } kReleased[] = {{"qwen3-0.6b", 310, 335'503'360, 1'192'230'912},
                   {"qwen3-1.7b", 310, 968'249'344, 3'441'397'760},
                   {"qwen3-4b", 398, 2'263'312'384, 8'045'328'384},
                   {"qwen3-8b", 399, 4'608'348'160, 16'382'087'168},
                   {"qwen3-30b-a3b", 579, 17'218'297'856, 0}};
  for (const auto& released : kReleased) {
    const SynthArch arch = find_synth_arch(released.arch);
    const auto tensors = plan_synth_tensors(arch, {});
    EXPECT_EQ(tensors.size(), released.tensors) << released.arch;
    EXPECT_EQ(described_bytes(tensors), released.q4_0) << released.arch;
    if (released.f16 == 0) continue;
    EXPECT_EQ(described_bytes(plan_synth_tensors(arch, {.type = DType::kF16})), released.f16);
  }
}

// Weights as published: 4.46 and 6.87 thousand million, of which 1.91 and 3.98 are the core.
TEST(SynthPlan, HasTheSizesOfGemma3n) {
  const struct {
    const char* arch;
    size_t tensors;
    uint64_t core, per_layer;
  } kReleased[] = {{"gemma3n-e2b", 727, 1'905'495'648, 2'013'265'920},
                   {"gemma3n-e4b", 847, 3'980'491'248, 2'348'810'240}};
  for (const auto& released : kReleased) {
    const SynthArch arch = find_synth_arch(released.arch);
    const auto tensors = plan_synth_tensors(arch, {});
    EXPECT_EQ(tensors.size(), released.tensors);
    uint64_t core = 0;
    for (const SynthTensor& tensor : tensors) {
      uint64_t weights = 1;
      for (const uint64_t n : tensor.ne) weights *= n;
      if (tensor.name == "token_embd.weight") {
        EXPECT_EQ(weights, 537'395'200u);
      } else if (tensor.name == "per_layer_token_embd.weight") {
        EXPECT_EQ(weights / tensor.ne[1] * 262'144, released.per_layer);
      } else {
        core += weights;
      }
    }
    EXPECT_EQ(core, released.core) << released.arch;
  }
}

TEST_F(Synth, OtherEnginesGetTheirNames) {
  const GgufModel model(make("q", {.arch_name = "qwen3moe"}));
  const GgufFile& file = model.metadata();
  EXPECT_EQ(*file.find_string("general.architecture"), "qwen3moe");
  EXPECT_EQ(file.get_u32("qwen3moe.expert_count"), 16u);
  EXPECT_EQ(file.get_u32("qwen3moe.expert_used_count"), 4u);
  EXPECT_EQ(file.get_u32("qwen3moe.expert_feed_forward_length"), 128u);
  EXPECT_EQ(file.get_u32("qwen3moe.attention.key_length"), 64u);
  for (const GgufEntry& entry : file.entries()) {
    EXPECT_FALSE(entry.key.starts_with("smallthinker.rope") || entry.key.ends_with("transposed"))
        << entry.key;
  }
  for (int l = 0; l < 8; ++l) {
    EXPECT_EQ(model.find(names::layer(l, "attn_q_norm")).info->ne, std::vector<uint64_t>{64});
    EXPECT_EQ(model.find(names::layer(l, "attn_k_norm")).info->ne, std::vector<uint64_t>{64});
    EXPECT_EQ(model.find(names::layer(l, "ffn_gate_inp")).info->ne,
              (std::vector<uint64_t>{256, 16}));
    EXPECT_EQ(model.find(names::layer(l, "ffn_down_exps")).info->ne,
              (std::vector<uint64_t>{128, 256, 16}));
  }
  EXPECT_EQ(model.tensors().size(), 8u * 12 + 3);
}

TEST_F(Synth, WrongOptionsAreUsageErrors) {
  const auto error = [&](SynthOptions options) {
    if (options.arch.empty()) options.arch = "tiny";
    options.outfile = path("x");
    try {
      synthesize(options);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidUsage);
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_TRUE(contains(error({.arch = "7b"}), "want 4b, 21b, tiny, qwen3-0.6b"));
  EXPECT_TRUE(contains(error({.gate_sparsity = 1}), "gate sparsity"));
  EXPECT_TRUE(contains(error({.gate_sparsity = std::nan("")}), "gate sparsity"));
  EXPECT_TRUE(contains(error({.router_skew = -1}), "router skew"));
  EXPECT_TRUE(contains(error({.arch_name = "llama"}), "architecture"));
  EXPECT_TRUE(contains(error({.transpose_down = true, .arch_name = "qwen3moe"}), "layout"));
  EXPECT_TRUE(contains(error({.predictor = true, .arch_name = "qwen3moe"}), "predictor"));
  EXPECT_TRUE(contains(error({.type = DType::kI8}), "type I8: want one that can be written"));
  EXPECT_TRUE(contains(error({.mix = "Q4_K_X"}), "type 'Q4_K_X': want F32, F16"));
  EXPECT_EQ(error({.arch = "qwen3-tiny", .predictor = true}), "qwen3 has no lm-head predictor");
  EXPECT_EQ(error({.arch = "gemma3n-tiny", .transpose_down = true}),
            "gemma3n has no transposed layout");
  EXPECT_EQ(error({.arch = "qwen3-moe-tiny", .gate_sparsity = 0.5}),
            "qwen3moe has no gates that a sparsity turns off");
  EXPECT_EQ(error({.arch = "qwen3-moe-tiny", .arch_name = "qwen3moe"}),
            "qwen3-moe-tiny is a qwen3moe already");
  EXPECT_EQ(files(), 0u);
}

TEST_F(Synth, LeavesNothingBehindWhenItFails) {
  EXPECT_TRUE(contains(error_of([&] { make("no/such/folder/x", {}); }), "no/such/folder/x"));
  const auto cancel = [](std::string_view, uint64_t, uint64_t) {
    fail(ErrorCode::kCancelled, "stop");
  };
  EXPECT_EQ(error_of([&] { make("x", {.progress = cancel}); }), "stop");
  EXPECT_EQ(files(), 0u);

  // A limit on the size of files stands for a full disk.
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1 << 20, old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string error = error_of([&] { make("x", {}); });
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(contains(error, path("x"))) << error;
  EXPECT_EQ(files(), 0u);
}

TEST(SynthVocabulary, IsWhatQwen2sLooksLike) {
  const Tokenizer tokenizer(make_synth_vocab(151643, 151936));
  const Vocab& vocab = tokenizer.vocab();
  EXPECT_EQ(vocab.tokens.size(), 151936u);
  EXPECT_EQ(vocab.merges.size(), 151387u);  // as in the real file
  EXPECT_EQ(vocab.tokens[151643], "<|endoftext|>");
  EXPECT_EQ(tokenizer.encode("<|im_start|>a<|im_end|>", true).size(), 3u);
  EXPECT_TRUE(tokenizer.is_end_of_generation(151645));
  EXPECT_EQ(vocab.tokens[151646], "[PAD151646]");
}

TEST(SynthVocabulary, AnyTextRoundTrips) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  const std::string kText =
      "The quick brown fox\n\n  jumps; 1234 na\u00efve \u4f60\u597d \U0001f600!";
  for (const auto& [regular, rows] : {std::pair<int64_t, int64_t>{4077, 4096}, {151643, 151936}}) {
    const Tokenizer tokenizer(make_synth_vocab(regular, rows));
    for (const std::string& text : {kText, all}) {
      const std::vector<Token> ids = tokenizer.encode(text, false);
      EXPECT_EQ(tokenizer.decode(ids, false), text);
      EXPECT_LT(ids.size(), text.size());
    }
  }
  EXPECT_EQ(Tokenizer(make_synth_vocab(256, 259)).encode("abc", false).size(), 3u);
}

TEST(SynthVocabulary, IsWhatGemmasLooksLike) {
  for (const auto& [regular, rows] :
       {std::pair<int64_t, int64_t>{262'144, 262'400}, {4080, 4096}, {1024, 1024}}) {
    const Tokenizer tokenizer(make_synth_pieces(regular, rows));
    const Vocab& vocab = tokenizer.vocab();
    ASSERT_EQ(std::ssize(vocab.tokens), rows);
    EXPECT_EQ(vocab.tokens[106], "<end_of_turn>");
    EXPECT_EQ(vocab.tokens[108], "\n\n");
    EXPECT_EQ(vocab.tokens[138], "\u2581\u2581");
    EXPECT_EQ(vocab.tokens[494], "ee");
    EXPECT_EQ(vocab.types[static_cast<size_t>(regular) - 1], TokenType::kNormal);
    EXPECT_EQ(vocab.end_of_generation, (std::vector<Token>{1, 106}));
    EXPECT_EQ(tokenizer.encode("<start_of_turn>a\n\n  <0x41>", true).size(), 10u);
    std::string all = "The quick brown fox\n\n  jumps; 1234 na\u00efve \u4f60\u597d \U0001f600!";
    for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
    const std::vector<Token> ids = tokenizer.encode(all, false);
    EXPECT_EQ(tokenizer.decode(ids, false), all);
    EXPECT_LT(ids.size(), all.size());
  }
}

class BlockTypes : public ::testing::TestWithParam<DType> {};

TEST_P(BlockTypes, HoldWhatTheRowDescribes) {
  const DType type = GetParam();
  const Row row = {Stretch::constant(1, -0.75, 0x80000001), Stretch::zeros(1),
                   Stretch::random(2000, 0.25, 0)};
  std::vector<std::byte> encoded(row_bytes(type, 2002 * 32));
  EXPECT_EQ(fill_row(type, 7, row, encoded.data()), encoded.data() + encoded.size());
  std::vector<float> x(2002 * 32);
  dequantize_row(type, encoded.data(), std::ssize(x), x.data());
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(x[i], i == 0 || i == 31 ? -0.75f : 0.0f) << i;
  double sum = 0;
  double squares = 0;
  for (size_t i = 64; i < x.size(); ++i) {
    sum += x[i];
    squares += x[i] * x[i];
  }
  EXPECT_NEAR(sum / 64000, 0, 0.25 * 4 / std::sqrt(64000.0));
  EXPECT_NEAR(std::sqrt(squares / 64000), 0.25, 0.0025);
  // The same blocks again, from the middle.
  std::vector<std::byte> part(row_bytes(type, 32 * 5));
  fill_row(type, 7, {Stretch::random(5, 0.25, 100)}, part.data());
  EXPECT_TRUE(std::equal(part.begin(), part.end(),
                         encoded.begin() + static_cast<ptrdiff_t>(row_bytes(type, 102 * 32))));
}
INSTANTIATE_TEST_SUITE_P(All, BlockTypes,
                         ::testing::Values(DType::kQ4_0, DType::kQ8_0, DType::kF16, DType::kBF16,
                                           DType::kF32));

// Figures of printed tables.
TEST(NormalDistribution, AsTabulated) {
  EXPECT_NEAR(normal_density(0), 0.398942280401, 1e-12);
  EXPECT_NEAR(normal_density(-2), 0.053990966513, 1e-12);
  EXPECT_NEAR(normal_cdf(1), 0.841344746069, 1e-12);
  EXPECT_NEAR(normal_cdf(-2.5), 0.006209665326, 1e-12);
  EXPECT_NEAR(normal_quantile(0.975), 1.959963984540, 1e-9);
  EXPECT_NEAR(normal_quantile(0.001), -3.090232306168, 1e-9);
  EXPECT_NEAR(rectified_square(0), 0.5, 1e-12);  // half of the variance
}

}  // namespace
}  // namespace st
