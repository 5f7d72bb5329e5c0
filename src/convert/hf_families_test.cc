// What config.json says of Qwen3, Qwen3-MoE and Gemma 3n.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "convert/hf_config.h"
#include "support/bytes.h"
#include "support/damage.h"
#include "support/shipped.h"

namespace st {
namespace {

using nlohmann::json;
using testkit::error_of;

json config_of(const std::string& model) {
  return parse_json(read_text_file(testkit::shipped_model(model + "/config.json")));
}

// A shipped model's with these keys in place of its own; null erases.
HfConfig read_with(const std::string& model, const json& changes) {
  json config = config_of(model);
  config.merge_patch(changes);
  return parse_hf_config(config.dump());
}

std::string error_with(const std::string& model, const json& changes) {
  return error_of([&] { read_with(model, changes); });
}

const GgufValue* find_key(const HfConfig& hf, std::string_view key) {
  const auto it = std::ranges::find(hf.keys, key, &GgufEntry::key);
  return it == hf.keys.end() ? nullptr : &it->value;
}

std::vector<int64_t> windows(const HfConfig& hf) {
  std::vector<int64_t> all;
  for (const LayerConfig& layer : hf.model.layer) all.push_back(layer.window);
  return all;
}

TEST(HfQwen3, TheNumbersOfTheFile) {
  const HfConfig hf = read_with("micro-qwen3", json::object());
  EXPECT_EQ(hf.notices, std::vector<std::string>{});
  EXPECT_EQ(hf.model.architecture, "qwen3");
  EXPECT_EQ(hf.model.q_width(), 192);
  EXPECT_EQ(hf.model.kv_width(), 64);
  EXPECT_EQ(hf.model.ffn(3), (Ffn{.width = 256}));
  EXPECT_EQ(hf.model.layer[0].rope, (Rope{.theta = 1e6f}));
  EXPECT_TRUE(hf.tied);
  EXPECT_EQ(hf.keys.size(), 0u);
  const HfConfig newer = read_with("micro-qwen3-untied", json::object());
  EXPECT_EQ(newer.model.layer[2].rope, (Rope{.theta = 5e6f}));
  EXPECT_FALSE(newer.tied);
}

TEST(HfQwen3, WhatIsNotThere) {
  EXPECT_EQ(read_with("micro-qwen3", {{"head_dim", nullptr}}).model.head_dim, 128);
  EXPECT_EQ(read_with("micro-qwen3moe", {{"head_dim", nullptr}}).model.head_dim, 128 / 4);
  EXPECT_FALSE(read_with("micro-qwen3", {{"tie_word_embeddings", nullptr}}).tied);
  EXPECT_EQ(error_with("micro-qwen3", {{"rope_theta", nullptr}}), "rope_theta: missing");
  EXPECT_EQ(error_with("micro-qwen3", {{"num_key_value_heads", nullptr}}),
            "num_key_value_heads: missing");
  EXPECT_EQ(error_with("micro-qwen3", {{"intermediate_size", nullptr}}),
            "intermediate_size: missing");
}

TEST(HfQwen3, TheClassOrTheTypeIsEnough) {
  EXPECT_EQ(read_with("micro-qwen3", {{"model_type", nullptr}}).model.architecture, "qwen3");
  EXPECT_EQ(read_with("micro-qwen3moe", {{"architectures", nullptr}}).model.architecture,
            "qwen3moe");
  EXPECT_EQ(error_with("micro-qwen3", {{"model_type", "qwen2"}, {"architectures", {"Qwen2Model"}}}),
            "architecture 'Qwen2Model' unsupported (known: SmallThinkerForCausalLM, "
            "Qwen3ForCausalLM, Qwen3MoeForCausalLM, Gemma3nForConditionalGeneration, "
            "Gemma3nForCausalLM)");
}

TEST(HfQwen3, Windows) {
  EXPECT_EQ(windows(read_with("micro-qwen3", {{"sliding_window", 16}})),
            (std::vector<int64_t>{0, 0, 0, 0}));
  const json on = {{"sliding_window", 16}, {"use_sliding_window", true}};
  const auto with = [&](json changes) {
    changes.update(on);
    return changes;
  };
  const HfConfig hf = read_with("micro-qwen3", with({{"max_window_layers", 3}}));
  EXPECT_EQ(windows(hf), (std::vector<int64_t>{0, 0, 0, 16}));
  EXPECT_EQ(std::get<uint64_t>(find_key(hf, "qwen3.attention.sliding_window")->value), 16u);
  const auto& pattern =
      std::get<GgufArray>(find_key(hf, "qwen3.attention.sliding_window_pattern")->value);
  EXPECT_EQ(pattern.integer(2), 0);
  EXPECT_EQ(pattern.integer(3), 1);
  const json types = {"sliding_attention", "full_attention", "full_attention", "full_attention"};
  EXPECT_EQ(windows(read_with("micro-qwen3", with({{"layer_types", types}}))),
            (std::vector<int64_t>{16, 0, 0, 0}));
  EXPECT_EQ(windows(read_with("micro-qwen3moe", on)), (std::vector<int64_t>{16, 16, 16}));
  EXPECT_EQ(error_with("micro-qwen3", {{"layer_types", types}}),
            "layer_types and use_sliding_window false disagree");
  EXPECT_EQ(error_with("micro-qwen3", {{"use_sliding_window", true}}), "sliding_window: missing");
  EXPECT_EQ(error_with("micro-qwen3", with({{"layer_types", {"full_attention"}}})),
            "layer_types: want a list of 4 layers, got [\"full_attention\"]");
  EXPECT_EQ(error_with("micro-qwen3-untied", {{"layer_types", {"a", "full_attention", "b"}}}),
            "layer_types: \"a\" unsupported, want \"full_attention\" or \"sliding_attention\"");
}

TEST(HfQwen3, WhatIsNotComputedIsRefused) {
  EXPECT_EQ(error_with("micro-qwen3", {{"attention_bias", true}}),
            "attention_bias true unsupported, want false");
  EXPECT_EQ(error_with("micro-qwen3", {{"hidden_act", "gelu"}}),
            "hidden_act \"gelu\" unsupported, want \"silu\"");
  EXPECT_EQ(
      error_with("micro-qwen3", {{"num_experts", 4}}),
      "num_experts 4 unsupported: the key is unknown and may change the model; remove it from "
      "the file if it does not");
  EXPECT_EQ(error_with("micro-qwen3moe", {{"shared_expert_intermediate_size", 64}}),
            "shared_expert_intermediate_size 64 unsupported, want 0");
  EXPECT_EQ(error_with("micro-qwen3", {{"final_logit_softcapping", 30}}),
            "final_logit_softcapping 30 unsupported, want null");
  EXPECT_EQ(error_with("micro-qwen3", {{"num_attention_heads", 5}}),
            "key attention.head_count 5 is not a multiple of head_count_kv 2");
}

TEST(HfQwen3Moe, LayersWithExperts) {
  const auto routed = [](const HfConfig& hf) {
    std::vector<bool> all;
    for (const LayerConfig& layer : hf.model.layer) all.push_back(layer.ffn.routed);
    return all;
  };
  const HfConfig odd = read_with("micro-qwen3moe-odd", json::object());
  EXPECT_EQ(routed(odd), (std::vector<bool>{false, true, false, false, false, true}));
  EXPECT_EQ(odd.model.ffn(1), (Ffn{.routed = true, .experts = 6, .used = 2, .width = 96}));
  EXPECT_EQ(odd.model.ffn(0), (Ffn{.width = 160}));
  EXPECT_EQ(odd.model.gating, Gating::kSoftmaxOfAll);
  const HfConfig plain = read_with("micro-qwen3moe", json::object());
  EXPECT_EQ(plain.model.gating, Gating::kSoftmax);
  EXPECT_EQ(find_key(plain, "qwen3moe.expert_weights_norm"), nullptr);
  // The default of the published configuration class.
  EXPECT_EQ(read_with("micro-qwen3moe", {{"norm_topk_prob", nullptr}}).model.gating,
            Gating::kSoftmaxOfAll);
  EXPECT_EQ(read_with("micro-qwen3moe", {{"intermediate_size", nullptr}}).model.layer.size(), 3u);
  EXPECT_EQ(error_with("micro-qwen3moe-odd", {{"intermediate_size", nullptr}}),
            "intermediate_size: missing");
  EXPECT_EQ(error_with("micro-qwen3moe", {{"mlp_only_layers", {0, 1, 2}}}),
            "no layer has experts (decoder_sparse_step, mlp_only_layers)");
  EXPECT_EQ(error_with("micro-qwen3moe", {{"mlp_only_layers", {3}}}),
            "mlp_only_layers[0]: want an integer in 0..2, got 3");
  EXPECT_EQ(error_with("micro-qwen3moe", {{"decoder_sparse_step", 0}}),
            "decoder_sparse_step: want an integer in 1..1048576, got 0");
  EXPECT_EQ(error_with("micro-qwen3moe", {{"num_local_experts", 8}}),
            "num_experts 16, but num_local_experts differs");
  EXPECT_EQ(error_with("micro-qwen3moe", {{"num_experts_per_tok", 17}}),
            "key expert_used_count 17 > expert_count 16");
  EXPECT_EQ(error_with("micro-qwen3moe", {{"num_experts", nullptr}}), "num_local_experts: missing");
}

TEST(HfGemma3n, TheNumbersOfTheFile) {
  const HfConfig hf = read_with("micro-gemma3n-odd", json::object());
  EXPECT_EQ(hf.notices, std::vector<std::string>{});
  EXPECT_EQ(hf.model.architecture, "gemma3n");
  EXPECT_TRUE(hf.tied);
  EXPECT_EQ(windows(hf), (std::vector<int64_t>{5, 5, 0, 5, 5, 0, 5, 5, 0, 5, 0, 5}));
  EXPECT_EQ(hf.model.layer[0].rope.theta, 5000.0f);
  EXPECT_EQ(hf.model.layer[2].rope.theta, 250000.0f);
  EXPECT_EQ(hf.model.ffn(4).width, 192);
  EXPECT_EQ(hf.model.layer[6].kv_layer, -1);
  EXPECT_EQ(hf.model.layer[7].kv_layer, 6);
  EXPECT_EQ(hf.model.layer[8].kv_layer, 5);
  EXPECT_EQ(hf.streams.count, 3);
  EXPECT_EQ(hf.streams.laurel_rank, 64);
  EXPECT_EQ(hf.streams.per_layer, 32);
  EXPECT_EQ(hf.streams.per_layer_vocab, 494);
  EXPECT_EQ(hf.streams.largest_coefficient, 0.1f);
  EXPECT_EQ(std::get<double>(find_key(hf, "gemma3n.final_logit_softcapping")->value), 20);
  const auto& scale = std::get<GgufArray>(find_key(hf, "gemma3n.activation_sparsity_scale")->value);
  // Deviations from tables of the normal distribution.
  EXPECT_NEAR(scale.number(0), 1.2815516, 1e-6);
  EXPECT_EQ(scale.number(1), -INFINITY);
  EXPECT_NEAR(scale.number(3), 0, 1e-7);
  EXPECT_NEAR(scale.number(8), 2.3263479, 1e-6);
  EXPECT_NEAR(scale.number(11), -0.5244005, 1e-6);
}

// What stands around the text's configuration in the released files.
TEST(HfGemma3n, TheReleasedFormIsTakenWithoutAWord) {
  const HfConfig hf = read_with("micro-gemma3n", {{"audio_soft_tokens_per_image", 188},
                                                  {"vision_soft_tokens_per_image", 256},
                                                  {"boa_token_id", 256000},
                                                  {"boi_token_id", 255999},
                                                  {"eoa_token_id", 262272},
                                                  {"eoi_token_id", 262144}});
  EXPECT_EQ(hf.notices, std::vector<std::string>{});
}

// Of the text's part of a nested configuration.
std::string nested_error(const json& changes) {
  return error_with("micro-gemma3n", {{"text_config", changes}});
}

TEST(HfGemma3n, WhatIsNotThere) {
  const HfConfig hf = read_with("micro-gemma3n", {{"text_config",
                                                   {{"rope_theta", nullptr},
                                                    {"rope_local_base_freq", nullptr},
                                                    {"sliding_window", nullptr},
                                                    {"altup_num_inputs", nullptr},
                                                    {"laurel_rank", nullptr},
                                                    {"altup_coef_clip", nullptr},
                                                    {"final_logit_softcapping", nullptr},
                                                    {"activation_sparsity_pattern", nullptr}}}});
  EXPECT_EQ(hf.model.layer[3].window, 512);
  EXPECT_EQ(hf.model.layer[4].window, 0);
  EXPECT_EQ(hf.model.layer[3].rope.theta, 1e4f);
  EXPECT_EQ(hf.model.layer[4].rope.theta, 1e6f);
  EXPECT_EQ(hf.streams.count, 4);
  EXPECT_EQ(hf.streams.laurel_rank, 64);
  EXPECT_EQ(hf.streams.largest_coefficient, 120.0f);
  EXPECT_EQ(std::get<double>(find_key(hf, "gemma3n.final_logit_softcapping")->value), 30);
  const auto& scale = std::get<GgufArray>(find_key(hf, "gemma3n.activation_sparsity_scale")->value);
  EXPECT_NEAR(scale.number(9), 1.6448536, 1e-6);
  EXPECT_EQ(scale.number(10), -INFINITY);
  // null is no default here.
  json config = config_of("micro-gemma3n");
  config["text_config"]["final_logit_softcapping"] = nullptr;
  const HfConfig off = parse_hf_config(config.dump());
  EXPECT_EQ(std::get<double>(find_key(off, "gemma3n.final_logit_softcapping")->value), 0);
  config["text_config"]["altup_coef_clip"] = nullptr;
  EXPECT_EQ(error_of([&] { parse_hf_config(config.dump()); }), "altup_coef_clip null unsupported");
}

TEST(HfGemma3n, SharedKeys) {
  const auto shared = [](int64_t layers) {
    const HfConfig hf =
        read_with("micro-gemma3n", {{"text_config", {{"num_kv_shared_layers", layers}}}});
    return std::get<uint64_t>(find_key(hf, "gemma3n.attention.shared_kv_layers")->value);
  };
  EXPECT_EQ(shared(0), 0u);
  EXPECT_EQ(shared(10), 10u);
  EXPECT_EQ(shared(15), 0u);  // as the published code has it
  EXPECT_EQ(nested_error({{"num_kv_shared_layers", 11}}),
            "num_kv_shared_layers 11: no layer of the type of layer 4 is left to have keys");
  EXPECT_EQ(nested_error({{"num_kv_shared_layers", 16}}),
            "num_kv_shared_layers: want an integer in 0..15, got 16");
}

TEST(HfGemma3n, RopeOfBothTypes) {
  const json one = {{"rope_theta", 1e5}, {"rope_type", "default"}};
  const auto error = [&](const json& parameters) {
    return error_with("micro-gemma3n-odd", {{"rope_parameters", parameters}});
  };
  EXPECT_EQ(error({{"full_attention", one}, {"sliding_attention", one}}), "no error");
  EXPECT_EQ(error({{"sliding_attention", nullptr}}), "rope_parameters: sliding_attention: missing");
  EXPECT_EQ(error({{"full_attention", {{"rope_type", "linear"}, {"factor", 8}}}}),
            "rope_parameters: full_attention: rope_type 'linear' unsupported (known: default)");
  EXPECT_EQ(nested_error({{"rope_scaling", {{"rope_type", "linear"}, {"factor", 8}}}}),
            "rope_scaling: full_attention: missing");
}

TEST(HfGemma3n, WhatIsNotComputedIsRefused) {
  EXPECT_EQ(nested_error({{"altup_active_idx", 1}}), "altup_active_idx 1 unsupported, want 0");
  EXPECT_EQ(nested_error({{"altup_correct_scale", false}}),
            "altup_correct_scale false unsupported, want true");
  EXPECT_EQ(nested_error({{"hidden_activation", "silu"}}),
            "hidden_activation \"silu\" unsupported, want \"gelu_pytorch_tanh\"");
  EXPECT_EQ(nested_error({{"intermediate_size", {1, 2}}}),
            "intermediate_size: 2 entries for 15 layers");
  EXPECT_EQ(nested_error({{"activation_sparsity_pattern", {0.95}}}),
            "activation_sparsity_pattern: want a list of 15 numbers, got [0.95]");
  EXPECT_EQ(nested_error({{"activation_sparsity_pattern", json(15, 1.0)}}),
            "activation_sparsity_pattern: want 0 to 0.9999, got 1.0");
  EXPECT_EQ(nested_error({{"vocab_size_per_layer_input", 503}}),
            "vocab_size_per_layer_input: want an integer in 1..502, got 503");
  EXPECT_EQ(nested_error({{"altup_num_inputs", 1}}),
            "altup_num_inputs: want an integer in 2..8, got 1");
  // A key of the model where nothing reads it.
  EXPECT_EQ(error_with("micro-gemma3n", {{"hidden_size", 96}}),
            "hidden_size 96 unsupported: the key is unknown and may change the model; remove it "
            "from the file if it does not");
  EXPECT_EQ(error_with("micro-gemma3n", {{"text_config", "x"}}),
            "text_config: want a JSON object, got \"x\"");
  json config = config_of("micro-gemma3n");
  config["text_config"] = nullptr;
  EXPECT_EQ(error_of([&] { parse_hf_config(config.dump()); }),
            "text_config: want a JSON object, got null");
  EXPECT_EQ(error_with("micro-gemma3n", {{"text_config", nullptr}}), "text_config: missing");
}

// Whatever is cut off or changed: an Error or a model that is possible.
TEST(HfFamilies, SurviveDamage) {
  for (const char* model :
       {"micro-qwen3-untied", "micro-qwen3moe-odd", "micro-gemma3n", "micro-gemma3n-odd"}) {
    SCOPED_TRACE(model);
    testkit::expect_survives_damage(config_of(model).dump(), 7, 1'000, 5,
                                    [](const std::string& text) {
                                      check_config(parse_hf_config(text).model, "");
                                      return true;
                                    });
  }
}

}  // namespace
}  // namespace st
