#include "convert/hf_config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "support/bytes.h"
#include "support/damage.h"
#include "support/shipped.h"

namespace st {
namespace {

using nlohmann::json;
using testkit::error_of;

json tiny_config() { return parse_json(read_text_file(testkit::shipped("model/config.json"))); }

// The tiny model's with these keys in place of its own; null erases.
HfConfig read_with(const json& changes) {
  json config = tiny_config();
  config.merge_patch(changes);
  return parse_hf_config(config.dump());
}

std::string error_with(const json& changes) {
  return error_of([&] { read_with(changes); });
}

TEST(HfConfigKeys, TheReleasedFilesAreTakenWithoutAWord) {
  const json code = {{"AutoConfig", "configuration_smallthinker.SmallThinkerConfig"}};
  const json config_4b = {{"architectures", {"SmallThinkerForCausalLM"}},
                          {"auto_map", code},
                          {"attention_dropout", 0.0},
                          {"bos_token_id", 151643},
                          {"eos_token_id", {151643, 151645}},
                          {"head_dim", 128},
                          {"hidden_size", 1536},
                          {"initializer_range", 0.02},
                          {"max_length", nullptr},
                          {"max_position_embeddings", 32768},
                          {"model_name", "smallthinker_4b_instruct"},
                          {"model_type", "smallthinker"},
                          {"moe_ffn_hidden_size", 768},
                          {"moe_num_active_primary_experts", 4},
                          {"moe_num_primary_experts", 32},
                          {"norm_topk_prob", true},
                          {"num_attention_heads", 12},
                          {"num_hidden_layers", 32},
                          {"num_key_value_heads", 2},
                          {"output_router_logits", false},
                          {"repetition_penalty", nullptr},
                          {"rms_norm_eps", 1e-06},
                          {"rope_layout", std::vector<int>(32, 1)},
                          {"rope_scaling", nullptr},
                          {"rope_theta", 1500000.0},
                          {"sliding_window_layout", std::vector<int>(32, 0)},
                          {"sliding_window_size", 4096},
                          {"temperature", nullptr},
                          {"tie_word_embeddings", true},
                          {"tokenizer_class", "Qwen2Tokenizer"},
                          {"top_p", nullptr},
                          {"torch_dtype", "bfloat16"},
                          {"transformers_version", "4.53.3"},
                          {"use_cache", false},
                          {"vocab_size", 151936}};
  const HfConfig hf_4b = parse_hf_config(config_4b.dump());
  EXPECT_EQ(hf_4b.notices, std::vector<std::string>{});
  EXPECT_EQ(hf_4b.model.layer.back().rope.theta, 1.5e6f);
  EXPECT_TRUE(hf_4b.tied);

  json config_21b = config_4b;
  config_21b.erase("model_type");
  std::vector<int> layout(52, 1);
  for (size_t l = 0; l < layout.size(); l += 4) layout[l] = 0;
  config_21b.update({{"hidden_size", 2560},
                     {"num_hidden_layers", 52},
                     {"num_attention_heads", 28},
                     {"num_key_value_heads", 4},
                     {"moe_num_primary_experts", 64},
                     {"moe_num_active_primary_experts", 6},
                     {"moe_primary_router_apply_softmax", true},
                     {"rope_layout", layout},
                     {"sliding_window_layout", layout},
                     {"tie_word_embeddings", false},
                     {"max_position_embeddings", 16384}});
  const HfConfig hf_21b = parse_hf_config(config_21b.dump());
  EXPECT_EQ(hf_21b.notices, std::vector<std::string>{});
  EXPECT_EQ(hf_21b.model.gating, Gating::kSoftmax);
}

TEST(HfConfigKeys, RopeParametersOfTransformers5) {
  const json move = {{"rope_theta", nullptr}, {"rope_scaling", nullptr}};
  const auto read = [&](const json& parameters) {
    json changes = move;
    changes["rope_parameters"] = parameters;
    return read_with(changes);
  };
  EXPECT_EQ(read({{"rope_theta", 10000.0}, {"rope_type", "default"}}).model.layer.back().rope.theta,
            10000.0f);
  EXPECT_EQ(read({{"rope_theta", 10000}}).model.layer.back().rope.theta, 10000.0f);
  const json one = {{"rope_theta", 5e5}, {"rope_type", "linear"}, {"factor", 4}};
  EXPECT_EQ(read(one).model.layer.back().rope.theta, 5e5f);
  EXPECT_EQ(read(one).model.layer.back().rope.factor, 4.0f);
  EXPECT_EQ(
      read({{"full_attention", one}, {"sliding_attention", one}}).model.layer.back().rope.factor,
      4.0f);
  const Rope yarn = read({{"rope_theta", 15e5},
                          {"rope_type", "yarn"},
                          {"factor", 4},
                          {"original_max_position_embeddings", 256}})
                        .model.layer.back()
                        .rope;
  EXPECT_EQ(yarn.theta, 15e5f);
  EXPECT_EQ(yarn.factor, 4.0f);
  EXPECT_EQ(yarn.yarn_context, 256);
  EXPECT_FLOAT_EQ(yarn.magnitude, 1.1386294f);  // 0.1 ln 4 + 1

  const auto error = [&](const json& parameters) { return error_of([&] { read(parameters); }); };
  json other = one;
  other["factor"] = 2;
  EXPECT_EQ(error({{"full_attention", one}, {"sliding_attention", other}}),
            "rope_parameters: differs between types of layers");
  EXPECT_EQ(error({{"rope_theta", 1e4}, {"rope_type", "longrope"}, {"factor", 4}}),
            "rope_parameters: rope_type 'longrope' unsupported (known: default, linear, yarn)");
  EXPECT_EQ(error({{"rope_theta", 1e4}, {"rope_type", "default"}, {"factor", 4}}),
            "rope_parameters: factor 4 unsupported, want 1");
  EXPECT_EQ(error({{"rope_theta", 1e4}, {"partial_rotary_factor", 0.5}}),
            "rope_parameters: partial_rotary_factor 0.5 unsupported, want 1");
  EXPECT_EQ(error({{"rope_theta", 1e4}, {"rope_type", "linear"}}),
            "rope_parameters: factor: missing");
  EXPECT_EQ(error({{"rope_theta", "1e4"}}),
            "rope_parameters: rope_theta: want a number in 1..1000000000000, got \"1e4\"");
  EXPECT_EQ(error({{"rope_theta", 1e4}, {"attention_factor", 2}}),
            "rope_parameters: attention_factor 2 unsupported: the key is unknown and may change "
            "the model; remove it from the file if it does not");
  EXPECT_EQ(error("default"), "rope_parameters: want a JSON object, got \"default\"");
}

TEST(HfConfigKeys, RopeScaling) {
  EXPECT_EQ(read_with({{"rope_scaling", {{"type", "linear"}, {"factor", 2.5}}}})
                .model.layer.back()
                .rope.factor,
            2.5f);
  EXPECT_EQ(
      read_with({{"rope_scaling", {{"rope_type", "default"}}}}).model.layer.back().rope.factor,
      1.0f);
  EXPECT_EQ(read_with(json::object()).model.layer.back().rope.factor, 1.0f);
  EXPECT_EQ(error_with({{"rope_scaling", {{"type", "dynamic"}, {"factor", 4}}}}),
            "rope_scaling: rope_type 'dynamic' unsupported (known: default, linear, yarn)");
  EXPECT_EQ(error_with({{"rope_scaling", {{"factor", 4}}}}),
            "rope_scaling: rope_type '' unsupported (known: default, linear, yarn)");
  EXPECT_EQ(error_with({{"rope_scaling", {{"type", "linear"}, {"rope_type", "default"}}}}),
            "rope_scaling: type 'linear', but rope_type 'default'");
  EXPECT_EQ(error_with({{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}),
            "rope_scaling: factor: want a number in 1..1000000, got 0");
  EXPECT_EQ(error_with({{"rope_parameters", {{"rope_theta", 10000}}}}),
            "rope_parameters: rope_theta 10000, but 1500000 outside of it");
  EXPECT_EQ(error_with({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}},
                        {"rope_parameters", {{"rope_type", "default"}}}}),
            "rope_scaling and rope_parameters disagree");
}

TEST(HfConfigKeys, Yarn) {
  const auto read = [](const json& parameters) {
    json scaling = {{"rope_type", "yarn"}, {"factor", 4}};
    scaling.update(parameters);
    return read_with({{"rope_scaling", scaling}}).model.layer.back().rope;
  };
  // What the paper has where the file says nothing: attention 0.1 ln(factor) + 1, betas 32 and 1.
  const Rope rope = read(json::object());
  EXPECT_EQ(rope.factor, 4.0f);
  EXPECT_EQ(rope.yarn_context, 1024);  // max_position_embeddings
  EXPECT_EQ(rope.beta_fast, 32.0f);
  EXPECT_EQ(rope.beta_slow, 1.0f);
  EXPECT_NEAR(rope.magnitude, 1.138629, 1e-6);
  EXPECT_EQ(read({{"original_max_position_embeddings", 512}}).yarn_context, 512);
  EXPECT_EQ(read({{"attention_factor", 1.5}}).magnitude, 1.5f);
  EXPECT_EQ(read({{"beta_fast", 16}, {"beta_slow", 2}}).beta_slow, 2.0f);
  const auto error = [&](const json& parameters) { return error_of([&] { read(parameters); }); };
  EXPECT_EQ(error({{"mscale", 1.0}}), "rope_scaling: mscale 1.0 unsupported, want null");
  EXPECT_EQ(error({{"truncate", false}}), "rope_scaling: truncate false unsupported, want true");
  EXPECT_EQ(error({{"factor", nullptr}}), "rope_scaling: factor: missing");
  EXPECT_EQ(error({{"beta_fast", 1}, {"beta_slow", 1}}),
            "key rope.scaling.yarn_beta_fast 1: want more than yarn_beta_slow 1");
}

TEST(HfConfigKeys, WhatChangesTheMathematicsIsRefused) {
  EXPECT_EQ(error_with({{"hidden_act", "silu"}}), "hidden_act \"silu\" unsupported, want \"relu\"");
  EXPECT_EQ(error_with({{"hidden_act", "relu"}}), "no error");
  EXPECT_EQ(error_with({{"partial_rotary_factor", 0.5}}),
            "partial_rotary_factor 0.5 unsupported, want 1");
  EXPECT_EQ(error_with({{"partial_rotary_factor", 1.0}}), "no error");
  EXPECT_EQ(error_with({{"attention_bias", true}}), "attention_bias true unsupported, want false");
  EXPECT_EQ(error_with({{"mlp_bias", true}}), "mlp_bias true unsupported, want false");
  EXPECT_EQ(error_with({{"routed_scaling_factor", 2.5}}),
            "routed_scaling_factor 2.5 unsupported, want 1");
  EXPECT_EQ(error_with({{"clip_qkv", 8}}), "clip_qkv 8 unsupported, want null");
  EXPECT_EQ(error_with({{"quantization_config", {{"quant_method", "fp8"}}}}),
            "quantization_config {\"quant_method\":\"fp8\"} unsupported, want null");
  EXPECT_EQ(error_with({{"num_nextn_predict_layers", 1}}),
            "num_nextn_predict_layers 1 unsupported, want 0");
  EXPECT_EQ(error_with({{"moe_enable_secondary_experts", true}}),
            "moe_enable_secondary_experts true unsupported, want false");
  EXPECT_EQ(error_with({{"moe_num_shared_experts", 1}}),
            "moe_num_shared_experts 1 unsupported, want 0");
  EXPECT_EQ(error_with({{"tie_word_embeddings", 1}}),
            "tie_word_embeddings: want true or false, got 1");
}

TEST(HfConfigKeys, UnknownKeysAreRefusedUnlessTheyAreOff) {
  for (const json& value : {json(2), json(0), json(true), json("x"), json({1}), json(-0.5)}) {
    EXPECT_EQ(error_with({{"new_gate", value}}),
              "new_gate " + value.dump() +
                  " unsupported: the key is unknown and may change the model; remove it from the "
                  "file if it does not");
  }
  const HfConfig hf =
      read_with({{"new_gate", false}, {"new_list", json::array()}, {"new_name", ""}});
  EXPECT_EQ(hf.notices,
            std::vector<std::string>{
                "config.json: unknown keys that are off: new_gate, new_list, new_name"});
  EXPECT_EQ(read_with(json::object()).notices, std::vector<std::string>{});
  json many;
  for (char c = 'a'; c <= 'j'; ++c) many[std::string("\x1b") + c] = false;
  EXPECT_EQ(
      read_with(many).notices,
      std::vector<std::string>{"config.json: unknown keys that are off: \\x1ba, \\x1bb, \\x1bc, "
                               "\\x1bd, \\x1be, \\x1bf, \\x1bg, \\x1bh and 2 more"});
}

TEST(HfConfigKeys, WindowsToldTwiceMustAgree) {
  const json types = {"full_attention",    "sliding_attention", "sliding_attention",
                      "sliding_attention", "full_attention",    "sliding_attention",
                      "sliding_attention", "sliding_attention"};
  EXPECT_EQ(error_with({{"sliding_window", 128}, {"layer_types", types}}), "no error");
  EXPECT_EQ(error_with({{"sliding_window", 64}}),
            "sliding_window 64, but sliding_window_size is 128");
  EXPECT_EQ(error_with({{"use_sliding_window", false}}),
            "use_sliding_window false, but sliding_window_layout has ones");
  EXPECT_EQ(error_with({{"layer_types", {"full_attention"}}}),
            "layer_types and sliding_window_layout disagree");
  EXPECT_EQ(error_with({{"sliding_window_pattern", 4}}), "no error");
  EXPECT_EQ(error_with({{"sliding_window_pattern", 4}, {"sliding_window_layout", nullptr}}),
            "sliding_window_pattern without sliding_window_layout");
}

// Whatever is cut off or changed: an Error or a model that is possible.
TEST(HfConfigKeys, SurvivesDamage) {
  testkit::expect_survives_damage(tiny_config().dump(), 1, 2'000, 4, [](const std::string& text) {
    check_config(parse_hf_config(text).model, "");
    return true;
  });
}

TEST(HfConfigKeys, FilesThatAreSomethingElseAreNamed) {
  EXPECT_EQ(error_of([] { parse_hf_config("version https://git-lfs.github.com/spec/v1\n"); }),
            "not a JSON object: it is a Git LFS pointer, not the file itself: run 'git lfs pull'");
  EXPECT_EQ(error_of([] { parse_hf_config(" \n[1]"); }),
            "not a JSON object: it is a text, ' \\x0a[1]': did the download fail?");
}

TEST(HfConfigKeys, NumbersThatCannotBe) {
  const auto error = [](const char* key, const json& value) { return error_with({{key, value}}); };
  EXPECT_EQ(error("hidden_size", 1 << 20), "hidden_size: want an integer in 1..65536, got 1048576");
  EXPECT_EQ(error("hidden_size", -5), "hidden_size: want an integer in 1..65536, got -5");
  EXPECT_EQ(error("vocab_size", UINT64_MAX),
            "vocab_size: want an integer in 1..16777216, got 18446744073709551615");
  EXPECT_EQ(error("vocab_size", 4096.0), "vocab_size: want an integer in 1..16777216, got 4096.0");
  EXPECT_EQ(error("vocab_size", true), "vocab_size: want an integer in 1..16777216, got true");
  EXPECT_EQ(error("head_dim", 1), "head_dim: want an integer in 2..1024, got 1");
  EXPECT_EQ(error("rms_norm_eps", -1e-6), "rms_norm_eps: want a number in 0..1, got -1e-06");
  EXPECT_EQ(error("rms_norm_eps", "1e-6"), "rms_norm_eps: want a number in 0..1, got \"1e-6\"");
  EXPECT_EQ(error("rope_theta", 0), "rope_theta: want a number in 1..1000000000000, got 0");
}

}  // namespace
}  // namespace st
