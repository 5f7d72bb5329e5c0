#include "convert/quantize_file.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "convert/column_importance.h"
#include "convert/convert.h"
#include "convert/imatrix.h"
#include "convert/quant_mix.h"
#include "format/gguf_model.h"
#include "support/bytes.h"
#include "support/shipped.h"
#include "support/temporary_folder.h"
#include "tensor/quantize.h"

namespace st {
namespace {

using testkit::contains;
using testkit::error_of;

const std::string kModels = testkit::shipped("");

DType type_in(const std::string& file, std::string_view tensor) {
  return GgufModel(file).find(tensor).info->type;
}

// Matrices of zeros with these names and rows of `cols` values.
void write_matrices(const std::string& path, const std::vector<std::string>& names, uint64_t cols) {
  GgufWriter writer;
  writer.set("general.architecture", GgufValue::string("qwen3"));
  writer.set("qwen3.block_count", GgufValue::u32(16));
  writer.set("qwen3.attention.head_count", GgufValue::u32(8));
  writer.set("qwen3.attention.head_count_kv", GgufValue::u32(2));
  for (const std::string& name : names) writer.add_tensor(name, DType::kF16, {cols, 2});
  writer.begin(path);
  for (const GgufTensor& tensor : writer.tensors())
    writer.write(std::vector<std::byte>(tensor.bytes));
  writer.finish();
}

TEST(QuantizeFile, SameBytesAsConvertingDirectly) {
  const TemporaryFolder folder;
  const std::string f16 = folder / "f16.gguf";
  const std::string direct = folder / "direct.gguf";
  const std::string quantised = folder / "q.gguf";
  for (const bool transpose : {false, true}) {
    for (const DType type : {DType::kQ4_0, DType::kQ8_0}) {
      ConvertOptions options{.folder = kModels + "model",
                             .outfile = f16,
                             .transpose_down = transpose,
                             .predictor = kModels + "model/model_lm_head.pt"};
      convert_hf(options);  // every value of the shipped model is exact in F16
      options.outfile = direct;
      options.type = type;
      convert_hf(options);
      const QuantizeResult result = quantize_file(
          {.input = f16, .output = quantised, .mix = std::string(dtype_name(type)), .pure = true});
      EXPECT_GT(result.error.relative_rms(), 0);
      const GgufModel a(direct), b(quantised);
      ASSERT_EQ(a.tensors().size(), b.tensors().size());
      for (const auto& tensor : a.tensors()) {
        const auto other = b.find(tensor.info->name);
        ASSERT_TRUE(other) << tensor.info->name;
        ASSERT_EQ(tensor.info->type, other.info->type) << tensor.info->name;
        EXPECT_EQ(testkit::read_bytes(*tensor.source, tensor.info->offset, tensor.info->bytes),
                  testkit::read_bytes(*other.source, other.info->offset, other.info->bytes))
            << tensor.info->name;
      }
    }
  }
}

TEST(QuantizeFile, KeepsTheHeadPreciseUnlessPure) {
  const TemporaryFolder folder;
  const std::string f16 = folder / "f16.gguf";
  const std::string out = folder / "q.gguf";
  convert_hf({.folder = kModels + "model", .outfile = f16});
  quantize_file({.input = f16, .output = out, .mix = "Q4_0"});
  EXPECT_EQ(type_in(out, "output.weight"), DType::kQ6_K);
  EXPECT_EQ(type_in(out, "token_embd.weight"), DType::kQ4_0);
  EXPECT_EQ(GgufModel(out).metadata().get_u32("general.file_type"), 2u);
  quantize_file({.input = f16, .output = out, .mix = "Q4_0", .pure = true});
  EXPECT_EQ(type_in(out, "output.weight"), DType::kQ4_0);
  quantize_file({.input = f16, .output = out, .mix = "q4_k"});
  EXPECT_EQ(GgufModel(out).metadata().get_u32("general.file_type"), 15u);

  const std::string tied = folder / "tied.gguf";
  convert_hf({.folder = kModels + "variants/micro-4b-style", .outfile = tied});
  quantize_file({.input = tied, .output = out, .mix = "Q4_0"});  // rows of 64: Q6_K becomes Q8_0
  EXPECT_EQ(type_in(out, "token_embd.weight"), DType::kQ8_0);
}

TEST(QuantizeFile, TypesThatAreThereAreCopiedOthersRefused) {
  const TemporaryFolder folder;
  const std::string f16 = folder / "f16.gguf", q4 = folder / "q4.gguf", out = folder / "out.gguf";
  convert_hf({.folder = kModels + "variants/micro-4b-style", .outfile = f16});
  quantize_file({.input = f16, .output = q4, .mix = "Q4_0", .pure = true});
  QuantizeResult result = quantize_file({.input = q4, .output = out, .mix = "Q4_0", .pure = true});
  EXPECT_EQ(result.error.squared_value, 0);
  EXPECT_EQ(testkit::fnv1a(read_text_file(q4)), testkit::fnv1a(read_text_file(out)));
  EXPECT_TRUE(
      contains(error_of([&] { quantize_file({.input = q4, .output = out, .mix = "Q8_0"}); }),
               "is Q4_0 already, want F32, F16 or BF16; --allow-requantize takes it as it is"));
  result = quantize_file({.input = q4, .output = out, .mix = "Q8_0", .allow_requantize = true});
  EXPECT_EQ(type_in(out, "token_embd.weight"), DType::kQ8_0);
  EXPECT_GT(result.error.squared_value, 0);
}

TEST(QuantizeFile, OptionsComeBeforeTheMix) {
  const TemporaryFolder folder;
  const std::string in = folder / "in.gguf", out = folder / "out.gguf";
  write_matrices(in,
                 {"token_embd.weight", "output.weight", "blk.0.attn_q.weight",
                  "blk.0.attn_v.weight", "blk.11.attn_v.weight"},
                 256);
  quantize_file({.input = in,
                 .output = out,
                 .mix = "Q4_K_M",
                 .output_type = DType::kQ8_0,
                 .embedding_type = DType::kQ3_K,
                 .tensor_types = {{"attn_v", DType::kQ5_0}, {"blk\\.0\\.", DType::kF16}}});
  EXPECT_EQ(type_in(out, "token_embd.weight"), DType::kQ3_K);
  EXPECT_EQ(type_in(out, "output.weight"), DType::kQ8_0);
  EXPECT_EQ(type_in(out, "blk.0.attn_q.weight"), DType::kF16);
  EXPECT_EQ(type_in(out, "blk.0.attn_v.weight"), DType::kQ5_0);  // the first that matches
  EXPECT_EQ(type_in(out, "blk.11.attn_v.weight"), DType::kQ5_0);

  const auto refused = [&](const char* regex) {
    return error_of([&] {
      quantize_file({.input = in, .output = out, .tensor_types = {{regex, DType::kF16}}});
    });
  };
  EXPECT_TRUE(contains(refused("ffn_up"), "tensor type 'ffn_up': no matrix has such a name"));
  EXPECT_TRUE(contains(refused("(x"), "'(x': not a regular expression: "));
}

TEST(QuantizeFile, DryRunsTellWhatWouldBe) {
  const TemporaryFolder folder;
  const std::string f16 = folder / "f16.gguf", out = folder / "out.gguf";
  convert_hf({.folder = kModels + "model", .outfile = f16});
  size_t told = 0;
  QuantizeOptions options{.input = f16, .output = out, .mix = "Q4_K_M", .dry_run = true};
  options.on_tensor = [&](const GgufTensor&, DType, const EncodeError&) { ++told; };
  const QuantizeResult plan = quantize_file(options);
  EXPECT_FALSE(std::filesystem::exists(out));
  EXPECT_EQ(told, GgufModel(f16).tensors().size());
  options.dry_run = false;
  options.on_tensor = nullptr;
  const QuantizeResult made = quantize_file(options);
  EXPECT_EQ(plan.output_bytes, made.output_bytes);
  uint64_t bytes = 0;
  size_t tensors = 0;
  for (const auto& [type, part] : plan.types) {
    bytes += part.bytes;
    tensors += part.tensors;
  }
  EXPECT_EQ(bytes, made.output_bytes);
  EXPECT_EQ(tensors, told);
}

std::vector<float> floats_of(const GgufModel& model, std::string_view name) {
  const auto [info, source] = model.find(name);
  std::vector<std::byte> bytes(info->bytes);
  source->read_at(info->offset, bytes);
  std::vector<float> values(info->ne[0] * info->dim(1) * info->dim(2));
  dequantize_row(info->type, bytes.data(), std::ssize(values), values.data());
  return values;
}

// Of a matrix in two files, the squares of their differences added up by column.
std::vector<double> errors_of_columns(const std::string& in, const std::string& out,
                                      std::string_view name) {
  const GgufModel a(in), b(out);
  const auto x = floats_of(a, name), y = floats_of(b, name);
  std::vector<double> errors(a.find(name).info->ne[0]);
  for (size_t i = 0; i < x.size(); ++i) errors[i % errors.size()] += (x[i] - y[i]) * (x[i] - y[i]);
  return errors;
}

TEST(QuantizeFile, ImportantColumnsKeepMore) {
  const TemporaryFolder folder;
  const std::string f32 = folder / "f32.gguf", out = folder / "out.gguf";
  const std::string file = folder / "imatrix.gguf";
  const std::string name = "blk.1.ffn_up_exps.weight";
  convert_hf({.folder = kModels + "model", .outfile = f32, .type = DType::kF32});
  const GgufTensor tensor = *GgufModel(f32).find(name).info;
  const uint64_t cols = tensor.ne[0], experts = tensor.dim(2);
  ImportanceSums sums{.squares = {}, .counts = std::vector<int64_t>(experts, 10)};
  sums.counts[1] = 0;  // an expert that no token has used
  for (uint64_t i = 0; i < cols * experts; ++i)
    sums.squares.push_back(i % cols % 8 == 0 ? 1000 : 1);
  const ImatrixSource source{.datasets = {"text.txt"}, .chunks = 3, .chunk_size = 8};
  write_imatrix(file, source, {{name, sums}});

  const auto share = [&](const std::string& with) {
    const QuantizeResult result = quantize_file(
        {.input = f32, .output = out, .mix = "Q4_K_S", .pure = true, .imatrix = with});
    EXPECT_EQ(result.notices.size(), with.empty() ? 0u : 1u);
    const std::vector<double> errors = errors_of_columns(f32, out, name);
    double important = 0, all = 0;
    for (size_t c = 0; c < errors.size(); ++c) {
      all += errors[c];
      if (c % 8 == 0) important += errors[c];
    }
    return important / all;
  };
  const double without = share("");
  EXPECT_LT(share(file), 0.7 * without);
  const GgufModel made(out);
  EXPECT_EQ(*made.metadata().find_string("quantize.imatrix.file"), file);
  EXPECT_EQ(*made.metadata().find_string("quantize.imatrix.dataset"), "text.txt");
  EXPECT_EQ(made.metadata().get_u32("quantize.imatrix.entries_count"), 1u);
  EXPECT_EQ(made.metadata().get_u32("quantize.imatrix.chunks_count"), 3u);

  sums.counts.pop_back();
  sums.squares.resize(cols * (experts - 1));
  write_imatrix(file, source, {{name, sums}});
  EXPECT_TRUE(
      contains(error_of([&] { quantize_file({.input = f32, .output = out, .imatrix = file}); }),
               "tensor '" + name + ".in_sum2': shape [256, 15], want [256, 16]"));
}

// Rows of a transposed down matrix are neurons: what is important is a row, not a column.
TEST(QuantizeFile, TransposedMatricesHaveNoImportantColumns) {
  const TemporaryFolder folder;
  const std::string f16 = folder / "f16.gguf", plain = folder / "plain.gguf";
  const std::string weighted = folder / "weighted.gguf", file = folder / "imatrix.gguf";
  const std::string name = "blk.0.ffn_down_exps.weight";
  convert_hf({.folder = kModels + "model", .outfile = f16, .transpose_down = true});
  const GgufTensor tensor = *GgufModel(f16).find(name).info;
  const uint64_t experts = tensor.dim(2);
  write_imatrix(file, {},
                {{name,
                  {.squares = std::vector<double>(tensor.ne[1] * experts, 2),
                   .counts = std::vector<int64_t>(experts, 1)}}});
  quantize_file({.input = f16, .output = plain, .mix = "Q6_K"});
  quantize_file({.input = f16, .output = weighted, .mix = "Q6_K", .imatrix = file});
  const GgufModel a(plain), b(weighted);
  for (const auto& one : a.tensors()) {
    const auto other = b.find(one.info->name);
    EXPECT_EQ(testkit::read_bytes(*one.source, one.info->offset, one.info->bytes),
              testkit::read_bytes(*other.source, other.info->offset, other.info->bytes))
        << one.info->name;
  }
}

// Of shape (D, F) or (F, D), D = 64: where both are alike the model's key decides.
TEST(ColumnImportance, ShapesSayWhetherDownMatricesAreTransposed) {
  const TemporaryFolder folder;
  const std::string file = folder / "imatrix.gguf", model = folder / "model.gguf";
  const std::string name = "blk.0.ffn_down_exps.weight";
  const auto has_columns = [&](uint64_t cols, uint64_t rows, bool key) {
    write_imatrix(file, {}, {{name, {std::vector<double>(cols, 2), {1}}}});
    GgufWriter out;
    if (key) out.set("smallthinker.ffn_down_transposed", GgufValue::boolean(true));
    out.add_tensor("token_embd.weight", DType::kF16, {64, 1});
    out.add_tensor(name, DType::kF16, {cols, rows});
    out.begin(model);
    for (const GgufTensor& t : out.tensors()) out.write(std::vector<std::byte>(t.bytes));
    out.finish();
    const GgufModel in(model);
    ColumnImportance importance(file, in);
    const bool has = importance.rows_of(*in.find(name).info) != nullptr;
    EXPECT_EQ(importance.notices(), std::vector<std::string>{});
    return has;
  };
  EXPECT_TRUE(has_columns(96, 64, false));
  EXPECT_TRUE(has_columns(64, 64, false));
  EXPECT_FALSE(has_columns(64, 64, true));
  EXPECT_FALSE(has_columns(64, 96, true));
  EXPECT_FALSE(has_columns(64, 96, false));  // of the reference engine
}

// Of a router, which stays as it is, nothing is said; of what the model does not have it is.
TEST(ColumnImportance, NamesWhatTheModelHasNot) {
  const TemporaryFolder folder;
  const std::string file = folder / "imatrix.gguf", f16 = folder / "f16.gguf";
  convert_hf({.folder = kModels + "model", .outfile = f16});
  const GgufModel model(f16);
  const auto notices = [&](const std::string& name) {
    write_imatrix(file, {}, {{name, {std::vector<double>(256, 2), {1}}}});
    return ColumnImportance(file, model).notices();
  };
  EXPECT_EQ(notices("blk.0.ffn_gate_inp.weight"), std::vector<std::string>{});
  EXPECT_EQ(notices("blk.99.attn_q.weight"),
            std::vector{file + " has 1 matrices that the model has not, the first is "
                               "blk.99.attn_q.weight"});
}

TEST(QuantizeFile, BlocksOfThePredictorDoNotCrossItsRows) {
  const TemporaryFolder folder;
  const std::string f16 = folder / "f16.gguf", out = folder / "out.gguf";
  convert_hf({.folder = kModels + "model",
              .outfile = f16,
              .predictor = kModels + "model/model_lm_head.pt"});
  quantize_file({.input = f16, .output = out, .mix = "Q4_K_M"});  // its rank is 32
  EXPECT_EQ(type_in(out, "lm_head_profiler.weight"), DType::kQ5_0);
}

TEST(QuantMix, MoreBitsForFirstLastAndEveryThirdLayer) {
  MixFacts facts{.layers = 28, .tied = false, .value_layers = {}};
  for (int64_t l = 0; l < 28; ++l) facts.value_layers.push_back(l);
  const QuantMix& mix = *find_quant_mix("Q4_K_M");
  std::string more;
  for (int l = 0; l < 28; ++l) {
    const std::string layer = "blk." + std::to_string(l);
    const DType down = mixed_type(mix, facts, layer + ".ffn_down.weight", 4096);
    EXPECT_EQ(down, mixed_type(mix, facts, layer + ".attn_v.weight", 4096));
    more += down == DType::kQ6_K ? 'x' : '.';
  }
  EXPECT_EQ(more, "xxx..x..x..x..x..x..x..xxxxx");  // 14 of them
  EXPECT_EQ(mixed_type(mix, facts, "blk.0.attn_q.weight", 4096), DType::kQ4_K);
}

TEST(QuantMix, HeadsThatShareKeysAndEightExperts) {
  MixFacts facts{.layers = 8, .queries_per_key = 4, .tied = false, .value_layers = {0, 1}};
  const auto type = [&](const char* mix, const char* tensor) {
    return mixed_type(*find_quant_mix(mix), facts, tensor, 4096);
  };
  EXPECT_EQ(type("Q2_K", "blk.0.attn_v.weight"), DType::kQ4_K);
  EXPECT_EQ(type("IQ4_XS", "blk.1.attn_v.weight"), DType::kQ5_K);
  facts.queries_per_key = 2;
  EXPECT_EQ(type("Q2_K", "blk.0.attn_v.weight"), DType::kQ3_K);
  EXPECT_EQ(type("IQ4_XS", "blk.1.attn_v.weight"), DType::kIQ4_XS);
  EXPECT_EQ(type("IQ4_XS", "blk.0.ffn_down.weight"), DType::kQ5_K);
  EXPECT_EQ(type("Q4_0", "blk.0.ffn_down.weight"), DType::kQ4_0);
  facts.importance = true;
  EXPECT_EQ(type("IQ4_XS", "blk.0.ffn_down.weight"), DType::kIQ4_XS);
  EXPECT_EQ(type("Q4_0", "blk.0.ffn_down.weight"), DType::kQ4_1);
  EXPECT_EQ(type("Q4_0", "blk.1.ffn_down.weight"), DType::kQ4_0);
  facts.experts = 8;
  EXPECT_EQ(type("Q4_0", "blk.0.attn_k.weight"), DType::kQ8_0);
  EXPECT_EQ(type("Q4_K_S", "blk.5.attn_output.weight"), DType::kQ5_K);
  EXPECT_EQ(type("F16", "blk.0.attn_k.weight"), DType::kF16);
}

TEST(QuantMix, RowsThatAreNoWholeBlocks) {
  EXPECT_EQ(type_for_row(DType::kQ4_K, 512), DType::kQ4_K);
  EXPECT_EQ(type_for_row(DType::kQ4_K, 320), DType::kQ5_0);
  EXPECT_EQ(type_for_row(DType::kQ6_K, 320), DType::kQ8_0);
  EXPECT_EQ(type_for_row(DType::kIQ4_XS, 320), DType::kIQ4_NL);
  EXPECT_EQ(type_for_row(DType::kQ4_K, 48), DType::kF16);
  EXPECT_EQ(type_for_row(DType::kQ8_0, 48), DType::kF16);
  const MixFacts facts{.tied = false, .value_layers = {}};
  EXPECT_EQ(mixed_type(*find_quant_mix("Q4_K_M"), facts, "output.weight", 320), DType::kQ8_0);
  EXPECT_EQ(mixed_type(*find_quant_mix("Q4_0"), facts, "output.weight", 320), DType::kQ6_K);
}

TEST(QuantizeFile, KeepsWhatLlamaCppKeeps) {
  const TemporaryFolder folder;
  const std::string in = folder / "f16.gguf";
  const std::string out = folder / "q.gguf";
  const std::pair<const char*, DType> tensors[] = {{"token_embd.weight", DType::kQ4_0},
                                                   {"per_layer_token_embd.weight", DType::kQ4_0},
                                                   {"per_layer_model_proj.weight", DType::kF16},
                                                   {"altup_proj.weight", DType::kF16},
                                                   {"altup_unembd_proj.weight", DType::kF16},
                                                   {"blk.0.altup_router.weight", DType::kF16},
                                                   {"blk.0.altup_predict_coef.weight", DType::kF16},
                                                   {"blk.0.laurel_l.weight", DType::kF16},
                                                   {"blk.0.inp_gate.weight", DType::kQ4_0},
                                                   {"blk.0.proj.weight", DType::kQ4_0},
                                                   {"blk.0.ffn_gate_inp.weight", DType::kF16},
                                                   {"blk.0.ffn_gate.weight", DType::kQ4_0}};
  GgufWriter writer;
  for (const auto& [name, type] : tensors) writer.add_tensor(name, DType::kF16, {64, 2});
  writer.add_tensor("blk.0.attn_v.weight", DType::kF16, {48, 2});  // 48 values are no whole blocks
  writer.begin(in);
  for (const GgufTensor& tensor : writer.tensors())
    writer.write(std::vector<std::byte>(tensor.bytes));
  writer.finish();
  quantize_file({.input = in, .output = out, .mix = "Q4_0", .pure = true});
  const GgufModel made(out);
  for (const auto& [name, type] : tensors) EXPECT_EQ(made.find(name).info->type, type) << name;
  EXPECT_EQ(made.find("blk.0.attn_v.weight").info->type, DType::kF16);
}

}  // namespace
}  // namespace st
