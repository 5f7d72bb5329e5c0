// Qwen3's config.json, dense and with experts.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "convert/hf_config_keys.h"
#include "convert/hf_family.h"
#include "convert/hf_rope.h"

namespace st {
namespace {

using nlohmann::json;
using namespace hf_names;

constexpr int64_t kMaxWidth = 1 << 20;

constexpr KnownKey kDenseKeys[] = {
    {"intermediate_size"},
    {"use_sliding_window"},
    {"max_window_layers"},
    {"hidden_act", R"(["silu"])"},
};

constexpr KnownKey kMoeKeys[] = {
    {"intermediate_size"},   {"use_sliding_window"},
    {"num_experts"},         {"num_local_experts"},
    {"num_experts_per_tok"}, {"moe_intermediate_size"},
    {"norm_topk_prob"},      {"decoder_sparse_step"},
    {"mlp_only_layers"},     {"hidden_act", R"(["silu"])"},
    {"max_window_layers"},  // of the dense family; every layer slides here, or none
};

// The size of the windows; 0: no layer slides.
int64_t read_window(const json& config) {
  if (!find_bool(config, "use_sliding_window", false)) return 0;
  return get_int(config, "sliding_window", 1, 1 << 27);
}

// Gives their window to the layers that slide: `slides`, unless layer_types says which.
void set_windows(const json& config, std::vector<bool> slides, bool types_decide, HfConfig& hf) {
  const int64_t window = read_window(config);
  if (window == 0) slides.assign(slides.size(), false);
  if (auto types = read_layer_types(config, hf.model.layers); types && *types != slides) {
    if (window == 0 || !types_decide) {
      fail(ErrorCode::kInvalidData, "layer_types and use_sliding_window {} disagree", window > 0);
    }
    slides = *std::move(types);
  }
  if (std::ranges::find(slides, true) == slides.end()) return;
  for (size_t l = 0; l < slides.size(); ++l) hf.model.layer[l].window = slides[l] ? window : 0;
  add_window_keys(window, hf);
}

void read_any(const json& config, int64_t head_dim, HfConfig& hf) {
  ModelConfig& c = hf.model = read_model(config, head_dim);
  get_int(config, "num_key_value_heads", 1, 1024);  // no default is everybody's
  c.context = find_int(config, "max_position_embeddings", 1, 1 << 27, 32768);
  c.layer.assign(static_cast<size_t>(c.layers), {.rope = read_hf_rope(config, 0)});
  hf.tied = find_bool(config, "tie_word_embeddings", false);
}

void read_dense(const json& config, HfConfig& hf) {
  hf.notices = check_hf_config_keys(config, kDenseKeys);
  read_any(config, 128, hf);
  hf.model.set_ffn({.width = get_int(config, "intermediate_size", 1, kMaxWidth)});
  const int64_t first = find_int(config, "max_window_layers", 0, 1 << 20, 28);
  std::vector<bool> slides;
  for (int64_t l = 0; l < hf.model.layers; ++l) slides.push_back(l >= first);
  set_windows(config, std::move(slides), true, hf);
}

// Newer files have the number under a newer name.
int64_t read_expert_count(const json& config) {
  const char* name = find(config, "num_experts") != nullptr ? "num_experts" : "num_local_experts";
  const int64_t count = get_int(config, name, 1, 1024);
  if (find_int(config, "num_local_experts", 1, 1024, count) != count) {
    fail(ErrorCode::kInvalidData, "num_experts {}, but num_local_experts differs", count);
  }
  return count;
}

// Layer l has experts if it is not listed and its number, from 1, is a multiple of the step.
std::vector<bool> read_routed_layers(const json& config, int64_t layers) {
  const int64_t step = find_int(config, "decoder_sparse_step", 1, 1 << 20, 1);
  std::vector<bool> routed;
  for (int64_t l = 0; l < layers; ++l) routed.push_back((l + 1) % step == 0);
  if (const json* dense = find(config, "mlp_only_layers")) {
    for (const int64_t l : int_array(*dense, "mlp_only_layers", 0, layers - 1)) {
      routed[static_cast<size_t>(l)] = false;
    }
  }
  if (std::ranges::find(routed, true) == routed.end()) {
    fail(ErrorCode::kUnsupported, "no layer has experts (decoder_sparse_step, mlp_only_layers)");
  }
  return routed;
}

void read_moe(const json& config, HfConfig& hf) {
  hf.notices = check_hf_config_keys(config, kMoeKeys);
  read_any(config, 0, hf);
  ModelConfig& c = hf.model;
  const std::vector<bool> routed = read_routed_layers(config, c.layers);
  const int64_t width = get_int(config, "moe_intermediate_size", 1, kMaxWidth);
  const bool some_dense = std::ranges::find(routed, false) != routed.end();
  const int64_t dense_width = some_dense
                                  ? get_int(config, "intermediate_size", 1, kMaxWidth)
                                  : find_int(config, "intermediate_size", 1, kMaxWidth, width);
  c.set_ffn({.routed = true,
             .experts = read_expert_count(config),
             .used = get_int(config, "num_experts_per_tok", 1, 64),
             .width = width});
  for (size_t l = 0; l < routed.size(); ++l) {
    if (!routed[l]) c.layer[l].ffn = {.width = dense_width};
  }
  set_windows(config, std::vector<bool>(routed.size(), true), false, hf);
  add_key("feed_forward_length", GgufValue::u32(static_cast<uint32_t>(dense_width)), hf);
  // llama.cpp has the key for other families, and takes it for true in this one.
  if (!find_bool(config, "norm_topk_prob", false)) {
    c.gating = Gating::kSoftmaxOfAll;
    add_key("expert_weights_norm", GgufValue::boolean(false), hf);
  }
}

constexpr std::string_view kPrefixes[] = {"model."};
constexpr TensorName kExpertNames[] = {
    {"ffn_gate_inp", "mlp.gate.weight", kExperts, kHidden, Kept::kF32, kNone, Where::kRouted},
    {"ffn_gate_exps", "mlp.experts.{}.gate_proj.weight", kFfn, kHidden, Kept::kAsAsked, kExperts,
     Where::kRouted},
    {"ffn_up_exps", "mlp.experts.{}.up_proj.weight", kFfn, kHidden, Kept::kAsAsked, kExperts,
     Where::kRouted},
    {"ffn_down_exps", "mlp.experts.{}.down_proj.weight", kHidden, kFfn, Kept::kAsAsked, kExperts,
     Where::kRouted},
};
constexpr std::span<const TensorName> kDenseLayer[] = {kAttention, kHeadNorms, kNormOfFfn,
                                                       kDenseFfn};
constexpr std::span<const TensorName> kMoeLayer[] = {kAttention, kHeadNorms, kNormOfFfn, kDenseFfn,
                                                     kExpertNames};

constexpr std::string_view kDenseTypes[] = {"qwen3"};
constexpr std::string_view kDenseClasses[] = {"Qwen3ForCausalLM"};
constexpr std::string_view kMoeTypes[] = {"qwen3_moe"};
constexpr std::string_view kMoeClasses[] = {"Qwen3MoeForCausalLM"};

}  // namespace

const HfFamily kHfQwen3 = {
    "qwen3", kDenseTypes, kDenseClasses, read_dense, {kPrefixes, {}, kEmbedding, kDenseLayer}};
const HfFamily kHfQwen3Moe = {
    "qwen3moe", kMoeTypes, kMoeClasses, read_moe, {kPrefixes, {}, kEmbedding, kMoeLayer}};

}  // namespace st
