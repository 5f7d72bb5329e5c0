#include "convert/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "convert/encode.h"
#include "convert/hf_config.h"
#include "format/gguf_model.h"
#include "support/bytes.h"
#include "support/shipped.h"
#include "tensor/quantize.h"

namespace st {
namespace {

using nlohmann::json;
using testkit::contains;
using testkit::error_of;
namespace fs = std::filesystem;

const std::string kModels = testkit::shipped("");

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "st-convert-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

json tiny_config() { return parse_json(read_text_file(kModels + "model/config.json")); }

std::string config_error(const json& config) {
  return error_of([&] { parse_hf_config(config.dump()); });
}

TEST(HfConfigReading, TakesTheReleasedForms) {
  const HfConfig tiny = parse_hf_config(tiny_config().dump());
  EXPECT_EQ(tiny.model.layers, 8);
  EXPECT_EQ(tiny.model.gating, Gating::kSigmoid);
  EXPECT_FALSE(tiny.tied);
  const Ffn ffn{
      .routed = true, .experts = 16, .used = 4, .width = 128, .activation = Activation::kRelu};
  const LayerConfig global{.ffn = ffn}, local{.rope = {.theta = 1.5e6f}, .window = 128, .ffn = ffn};
  EXPECT_EQ(tiny.model.layer,
            (std::vector<LayerConfig>{global, local, local, local, global, local, local, local}));
  // The 21B has no model_type, the 4B no softmax key; both must be read.
  json config = tiny_config();
  config.erase("model_type");
  config["moe_primary_router_apply_softmax"] = true;
  EXPECT_EQ(parse_hf_config(config.dump()).model.gating, Gating::kSoftmax);
  config.erase("moe_primary_router_apply_softmax");
  config.erase("rope_layout");
  config.erase("sliding_window_layout");
  config.erase("tie_word_embeddings");
  const HfConfig defaults = parse_hf_config(config.dump());
  EXPECT_EQ(defaults.model.gating, Gating::kSigmoid);
  EXPECT_EQ(defaults.model.layer,
            std::vector<LayerConfig>(8, {.rope = {.theta = 1.5e6f}, .ffn = ffn}));
  EXPECT_TRUE(defaults.tied);
}

TEST(HfConfigReading, RefusesWhatItCannotRun) {
  const auto with = [](const char* key, const json& value) {
    json config = tiny_config();
    config[key] = value;
    return config_error(config);
  };
  EXPECT_EQ(with("use_qk_norm", true), "use_qk_norm true unsupported, want false");
  EXPECT_EQ(with("use_qk_norm", false), "no error");
  EXPECT_EQ(with("norm_topk_prob", false), "norm_topk_prob false unsupported, want true");
  EXPECT_EQ(with("moe_layer_layout", {1, 1, 0, 1, 1, 1, 1, 1}),
            "moe_layer_layout with dense layers unsupported");
  EXPECT_EQ(with("rope_layout", {1, 0}), "rope_layout: 2 entries for 8 layers");
  EXPECT_EQ(with("num_hidden_layers", "x"),
            "num_hidden_layers: want an integer in 1..512, got \"x\"");
  EXPECT_NE(with("moe_num_active_primary_experts", 17), "no error");
  EXPECT_NE(with("hidden_size", -5), "no error");
  json other = tiny_config();
  other["model_type"] = "llama";
  other["architectures"] = {"LlamaForCausalLM"};
  EXPECT_TRUE(contains(config_error(other), "architecture 'LlamaForCausalLM' unsupported"));
}

TEST(Encode, StreamsTransposesAndMeasures) {
  // 3 x 64 values in BF16.
  std::string bytes;
  std::vector<float> values;
  for (int i = 0; i < 3 * 64; ++i) {
    const auto bits = static_cast<uint16_t>(0x3F80 + i);
    uint16_t half = bits;
    bytes.append(reinterpret_cast<const char*>(&half), 2);
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits) << 16));
  }
  const auto source = testkit::source_of(bytes);
  ThreadPool pool(2);
  std::vector<float> out;
  const ByteSink sink = [&](std::span<const std::byte> piece) {
    const auto* f = reinterpret_cast<const float*>(piece.data());
    out.insert(out.end(), f, f + piece.size() / 4);
  };
  encode_rows({*source, 0, DType::kBF16, 3, 64}, DType::kF32, false, pool, sink);
  EXPECT_EQ(out, values);
  out.clear();
  encode_rows({*source, 0, DType::kBF16, 3, 64}, DType::kF32, true, pool, sink);
  for (size_t r = 0; r < 64; ++r) {
    for (size_t c = 0; c < 3; ++c) ASSERT_EQ(out[r * 3 + c], values[c * 64 + r]);
  }
  EncodeError error;
  encode_rows({*source, 0, DType::kBF16, 3, 64}, DType::kQ8_0, false, pool, [](auto) {}, &error);
  EXPECT_GT(error.relative_rms(), 0.0005);
  EXPECT_LT(error.relative_rms(), 0.01);
}

TEST(Encode, NamesTheRowOfAValueThatIsNotFinite) {
  std::vector<float> values(4 * 32, 1.0f);
  values[2 * 32 + 5] = std::nanf("");
  const std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * 4);
  const auto source = testkit::source_of(bytes);
  ThreadPool pool(3);
  EXPECT_EQ(error_of([&] {
              encode_rows({*source, 0, DType::kF32, 4, 32}, DType::kQ4_0, false, pool, [](auto) {});
            }),
            "row 2: a value is not finite or too large for Q4_0");
}

TEST(Encode, NamesTheColumnOfSuchAValueIfItTransposes) {
  std::vector<float> values(4 * 32, 1.0f);
  values[2 * 32 + 5] = INFINITY;
  const auto source = testkit::source_of(
      {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
  ThreadPool pool(1);
  EXPECT_EQ(error_of([&] {
              encode_rows({*source, 0, DType::kF32, 4, 32}, DType::kF16, true, pool, [](auto) {});
            }),
            "column 5: a value is not finite or too large for F16");
}

TEST(Encode, RefusesWhatWouldBecomeInfinite) {
  ThreadPool pool(1);
  const auto error_for = [&](float value, DType type) {
    const std::vector<float> values(32, value);
    const auto source = testkit::source_of({reinterpret_cast<const char*>(values.data()), 128});
    return error_of(
        [&] { encode_rows({*source, 0, DType::kF32, 1, 32}, type, false, pool, [](auto) {}); });
  };
  EXPECT_EQ(error_for(65504.0f, DType::kF16), "no error");
  EXPECT_EQ(error_for(-65536.0f, DType::kF16), "row 0: a value is not finite or too large for F16");
  EXPECT_EQ(error_for(65504.0f * 8, DType::kQ4_0), "no error");
  EXPECT_NE(error_for(65504.0f * 9, DType::kQ4_0), "no error");
  EXPECT_EQ(error_for(65504.0f * 127, DType::kQ8_0), "no error");
  EXPECT_NE(error_for(65504.0f * 128, DType::kQ8_0), "no error");
  EXPECT_EQ(error_for(3e38f, DType::kF32), "no error");
}

TEST(Convert, KeysAndTensorsAsSpecified) {
  const TemporaryFolder folder;
  const std::string out = folder / "tiny.gguf";
  const ConvertResult result = convert_hf({.folder = kModels + "model",
                                           .outfile = out,
                                           .type = DType::kF16,
                                           .predictor = kModels + "model/model_lm_head.pt"});
  const GgufModel model(out);
  const GgufFile& file = model.metadata();
  EXPECT_EQ(model.tensors().size(), 10u * 8 + 3 + 1);
  EXPECT_EQ(result.file_bytes, fs::file_size(out));
  EXPECT_EQ(file.get_u32("smallthinker.block_count"), 8u);
  EXPECT_EQ(file.get_u32("smallthinker.expert_gating_func"), 2u);
  EXPECT_EQ(file.get_u32("smallthinker.attention.sliding_window"), 128u);
  EXPECT_EQ(file.find_integers("smallthinker.rope_layout")->integer(4), 0);
  EXPECT_EQ(file.find_bool("smallthinker.ffn_down_transposed"), false);
  EXPECT_EQ(*file.find_string("tokenizer.ggml.pre"), "qwen2");
  EXPECT_EQ(model.find("blk.7.ffn_gate_inp.weight").info->type, DType::kF32);
  EXPECT_EQ(model.find("blk.0.ffn_down_exps.weight").info->ne,
            (std::vector<uint64_t>{128, 256, 16}));
  EXPECT_EQ(model.find("lm_head_profiler.weight").info->ne,
            (std::vector<uint64_t>{32 * (256 + 4096)}));
}

TEST(Convert, TiedModelsDropTheirCopyOfTheHead) {
  const TemporaryFolder folder;
  const std::string out = folder / "micro.gguf";
  const ConvertResult result =
      convert_hf({.folder = kModels + "variants/micro-4b-style", .outfile = out});
  EXPECT_FALSE(GgufModel(out).find("output.weight"));
  ASSERT_EQ(result.notices.size(), 1u);
  EXPECT_TRUE(contains(result.notices[0], "it is the embedding"));
  EXPECT_EQ(GgufModel(out).metadata().find("smallthinker.attention.sliding_window"), nullptr);
}

// A value as gguf-expected.json has it.
void expect_value(const json& want, const GgufValue* got, const std::string& key) {
  ASSERT_NE(got, nullptr) << key;
  const json& value = want["value"];
  const auto number = [](const json& one) { return one == "-inf" ? -INFINITY : one.get<float>(); };
  if (want["type"] == "UINT32") {
    EXPECT_EQ(got->type, GgufType::kU32) << key;
    EXPECT_EQ(std::get<uint64_t>(got->value), value.get<uint64_t>()) << key;
  } else if (want["type"] == "FLOAT32") {
    EXPECT_EQ(got->type, GgufType::kF32) << key;
    EXPECT_EQ(static_cast<float>(std::get<double>(got->value)), number(value)) << key;
  } else if (want["type"] == "BOOL") {
    EXPECT_EQ(std::get<bool>(got->value), value.get<bool>()) << key;
  } else if (want["type"] == "STRING") {
    EXPECT_EQ(std::get<std::string>(got->value), value.get<std::string>()) << key;
  } else {
    const auto& array = std::get<GgufArray>(got->value);
    const bool counted = value.is_string();  // "array of 512"
    EXPECT_EQ(array.count, counted ? std::stoull(value.get<std::string>().substr(9)) : value.size())
        << key;
    for (uint64_t i = 0; !counted && i < array.count; ++i) {
      if (want["type"] == "ARRAY[BOOL]") {
        EXPECT_EQ(array.type, GgufType::kBool) << key;
        EXPECT_EQ(array.integer(i) != 0, value[i].get<bool>()) << key << i;
      } else {
        EXPECT_EQ(array.type, GgufType::kF32) << key;
        EXPECT_EQ(static_cast<float>(array.number(i)), number(value[i])) << key << i;
      }
    }
  }
}

// Files that llama.cpp loads and computes correctly have these keys and tensors.
TEST(Convert, KeysAndTensorsAreLlamaCpps) {
  const TemporaryFolder folder;
  const std::string out = folder / "micro.gguf";
  for (const char* model : {"micro-qwen3", "micro-qwen3-untied", "micro-qwen3moe", "micro-gemma3n",
                            "micro-gemma3n-e2b-style"}) {
    const std::string in = testkit::shipped_model(model);
    convert_hf({.folder = in, .outfile = out, .type = DType::kF32});
    const GgufModel made(out);
    const json expected = parse_json(read_text_file(in + "/gguf-expected.json"));
    for (const auto& [key, want] : expected["kv"].items()) {
      expect_value(want, made.metadata().find(key), fmt::format("{}: {}", model, key));
    }
    for (const GgufEntry& entry : made.metadata().entries()) {
      EXPECT_TRUE(expected["kv"].contains(entry.key) || entry.key.starts_with("general.") ||
                  entry.key == "tokenizer.chat_template" ||
                  entry.key == "smallthinker.tokenizer.end_of_generation")
          << model << ": " << entry.key;
    }
    EXPECT_EQ(made.tensors().size(), expected["tensors"].size()) << model;
    for (const auto& [name, ne] : expected["tensors"].items()) {
      const auto tensor = made.find(name);
      ASSERT_TRUE(tensor) << model << ": " << name;
      EXPECT_EQ(json(tensor.info->ne), ne) << model << ": " << name;
    }
  }
}

// Layers 1 and 5 have experts, the others do not; weights are not renormalised.
TEST(Convert, LayersWithAndWithoutExperts) {
  const TemporaryFolder folder;
  const std::string out = folder / "odd.gguf";
  convert_hf({.folder = testkit::shipped_model("micro-qwen3moe-odd"), .outfile = out});
  const GgufModel made(out);
  for (int l = 0; l < 6; ++l) {
    const auto has = [&](const char* name) {
      return static_cast<bool>(made.find(fmt::format("blk.{}.{}.weight", l, name)));
    };
    const bool routed = l == 1 || l == 5;
    EXPECT_EQ(has("ffn_gate_inp"), routed) << l;
    EXPECT_EQ(has("ffn_down_exps"), routed) << l;
    EXPECT_EQ(has("ffn_down"), !routed) << l;
  }
  EXPECT_FALSE(made.find("output.weight"));
  const GgufFile& file = made.metadata();
  EXPECT_EQ(file.find_bool("qwen3moe.expert_weights_norm"), false);
  EXPECT_EQ(file.get_u32("qwen3moe.feed_forward_length"), 160u);
  EXPECT_EQ(file.get_u32("qwen3moe.expert_feed_forward_length"), 96u);
  EXPECT_EQ(file.get_u32("qwen3moe.expert_count"), 6u);
  EXPECT_EQ(made.find("blk.5.ffn_up_exps.weight").info->ne, (std::vector<uint64_t>{96, 96, 6}));
}

TEST(Convert, YarnIsWrittenAsLlamaCppDoes) {
  const TemporaryFolder folder;
  const std::string in = testkit::shipped_model("micro-qwen3");
  for (const char* name : {"model.safetensors", "tokenizer.json", "tokenizer_config.json"}) {
    fs::create_symlink(in + "/" + name, folder / name);
  }
  json config = parse_json(read_text_file(in + "/config.json"));
  const auto keys_with = [&](const json& scaling) {
    config["rope_scaling"] = scaling;
    std::ofstream(folder / "config.json") << config;
    convert_hf({.folder = folder.path(), .outfile = folder / "out.gguf"});
    return std::make_unique<GgufModel>(folder / "out.gguf");
  };
  const auto usual = keys_with(
      {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}});
  const GgufFile& file = usual->metadata();
  EXPECT_EQ(*file.find_string("qwen3.rope.scaling.type"), "yarn");
  EXPECT_EQ(file.find_f32("qwen3.rope.scaling.factor"), 4.0f);
  EXPECT_EQ(file.get_u32("qwen3.rope.scaling.original_context_length"), 32768u);
  for (const char* key : {"attn_factor", "yarn_beta_fast", "yarn_beta_slow"}) {
    EXPECT_EQ(file.find(std::string("qwen3.rope.scaling.") + key), nullptr) << key;
  }
  const auto other = keys_with(
      {{"rope_type", "yarn"}, {"factor", 4}, {"beta_fast", 16}, {"attention_factor", 2.277259}});
  EXPECT_EQ(other->metadata().find_f32("qwen3.rope.scaling.yarn_beta_fast"), 16.0f);
  EXPECT_NEAR(*other->metadata().find_f32("qwen3.rope.scaling.attn_factor"), 2, 1e-5);
}

// The values of a tensor in F32.
std::vector<float> floats_of(const GgufModel& model, std::string_view name) {
  const auto tensor = model.find(name);
  const std::string bytes =
      testkit::read_bytes(*tensor.source, tensor.info->offset, tensor.info->bytes);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

TEST(Convert, WhatGemma3nHasAndNoOtherFamily) {
  const TemporaryFolder folder;
  const std::string out = folder / "odd.gguf";
  ConvertResult result = convert_hf(
      {.folder = testkit::shipped_model("micro-gemma3n-odd"), .outfile = out, .type = DType::kF32});
  EXPECT_EQ(result.notices, std::vector<std::string>{});
  const GgufModel made(out);
  const GgufFile& file = made.metadata();
  const GgufArray& widths = *file.find_integers("gemma3n.feed_forward_length");
  EXPECT_EQ(widths.count, 12u);
  EXPECT_EQ(widths.integer(3), 64);
  EXPECT_EQ(file.find_f32("gemma3n.rope.freq_base"), 250000.0f);
  EXPECT_EQ(file.find_f32("gemma3n.rope.freq_base_swa"), 5000.0f);
  EXPECT_EQ(made.find("altup_proj.weight").info->ne, (std::vector<uint64_t>{96, 96, 2}));
  // altup_coef_clip is 0.1, and some are beyond it.
  for (const char* name : {"blk.3.altup_predict_coef.weight", "blk.3.altup_correct_coef.weight"}) {
    const std::vector<float> values = floats_of(made, name);
    const auto [least, most] = std::ranges::minmax(values);
    EXPECT_EQ(std::max(-least, most), 0.1f) << name;
  }
  // The table has 494 rows for 502 tokens; the others take the first.
  const std::vector<float> table = floats_of(made, "per_layer_token_embd.weight");
  const size_t width = 12 * 32;
  ASSERT_EQ(table.size(), 502 * width);
  for (size_t row = 494; row < 502; ++row) {
    EXPECT_TRUE(std::equal(table.begin(), table.begin() + width, table.begin() + row * width))
        << row;
  }
  EXPECT_FALSE(std::equal(table.begin(), table.begin() + width, table.begin() + 493 * width));

  result = convert_hf({.folder = testkit::shipped_model("micro-gemma3n"), .dry_run = true});
  EXPECT_EQ(result.notices, std::vector<std::string>{
                                "4 tensors left out: they are not for text (model.vision_tower.*, "
                                "model.audio_tower.*, model.embed_vision.*, model.embed_audio.*)"});
}

TEST(Convert, OnlyWhereNeuronsAreSkipped) {
  const std::string dense = testkit::shipped_model("micro-qwen3");
  EXPECT_EQ(
      error_of([&] { convert_hf({.folder = dense, .transpose_down = true, .dry_run = true}); }),
      dense + "/config.json: qwen3 has no transposed layout");
  EXPECT_EQ(
      error_of([&] {
        convert_hf(
            {.folder = dense, .predictor = kModels + "model/model_lm_head.pt", .dry_run = true});
      }),
      dense + "/config.json: qwen3 has no lm-head predictor");
}

TEST(Convert, NothingIsLeftBehindWhenItFails) {
  const TemporaryFolder folder;
  const auto cancel = [](std::string_view, uint64_t done, uint64_t total) {
    if (done > total / 2) fail(ErrorCode::kCancelled, "interrupted");
  };
  EXPECT_EQ(
      error_of([&] {
        convert_hf({.folder = kModels + "model", .outfile = folder / "x.gguf", .progress = cancel});
      }),
      "interrupted");
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

}  // namespace
}  // namespace st
