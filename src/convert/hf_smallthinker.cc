// SmallThinker's config.json.
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

constexpr KnownKey kKeys[] = {
    {"moe_num_primary_experts"},
    {"moe_num_active_primary_experts"},
    {"moe_ffn_hidden_size"},
    {"moe_primary_router_apply_softmax"},
    {"moe_layer_layout"},
    {"rope_layout"},
    {"sliding_window_layout"},
    {"sliding_window_size"},
    {"sliding_window_pattern"},
    {"use_sliding_window"},

    {"hidden_act", R"(["relu"])"},
    {"hidden_activation", R"(["relu"])"},
    {"activation_function", R"(["relu"])"},
    {"norm_topk_prob", "[true]"},
    {"moe_enable_early_router", "[true]"},
    {"use_qk_norm", "[false]"},
    {"qk_norm", "[false]"},
    {"qk_layernorm", "[false]"},
    {"moe_enable_secondary_experts", "[false]"},
    {"moe_num_secondary_experts", "[0]"},
    {"moe_num_active_secondary_experts", "[0]"},
    {"decoder_sparse_step", "[1]"},
    {"mlp_only_layers", "[[]]"},

    // Widths of what is not there if the layers are as above.
    {"intermediate_size"},
    {"dense_ffn_hidden_size"},
    {"moe_intermediate_size"},
    {"moe_secondary_expert_size"},
    {"moe_shared_expert_size"},
};

// Dense layers have no experts, and those have no place here.
void check_layer_kinds(const json& config) {
  const json* layout = find(config, "moe_layer_layout");
  if (layout == nullptr) return;
  for (const int64_t moe : int_array(*layout, "moe_layer_layout", 0, 1)) {
    if (moe == 0) fail(ErrorCode::kUnsupported, "moe_layer_layout with dense layers unsupported");
  }
}

std::vector<bool> layout(const json& config, std::string_view key, int64_t layers, bool fallback) {
  const json* array = find(config, key);
  if (array == nullptr) return std::vector<bool>(static_cast<size_t>(layers), fallback);
  const std::vector<int64_t> values = int_array(*array, key, 0, 1);
  if (static_cast<int64_t>(values.size()) != layers) {
    fail(ErrorCode::kInvalidData, "{}: {} entries for {} layers", key, values.size(), layers);
  }
  return {values.begin(), values.end()};
}

// What other programs are told of the layouts must agree with them.
void check_sliding(const json& config, const std::vector<bool>& sliding, int64_t size) {
  const bool slides = std::ranges::find(sliding, true) != sliding.end();
  const int64_t window = find_int(config, "sliding_window", 0, 1 << 27, size);
  if (slides && window != size) {
    fail(ErrorCode::kInvalidData, "sliding_window {}, but sliding_window_size is {}", window, size);
  }
  if (slides && !find_bool(config, "use_sliding_window", true)) {
    fail(ErrorCode::kInvalidData, "use_sliding_window false, but sliding_window_layout has ones");
  }
  const bool has_layout = find(config, "sliding_window_layout") != nullptr;
  if (!has_layout && find(config, "sliding_window_pattern") != nullptr) {
    fail(ErrorCode::kUnsupported, "sliding_window_pattern without sliding_window_layout");
  }
  const json* types = find(config, "layer_types");
  if (types == nullptr) return;
  json wanted = json::array();
  for (const bool slides_here : sliding) {
    wanted.push_back(slides_here ? "sliding_attention" : "full_attention");
  }
  if (*types != wanted) {
    fail(ErrorCode::kInvalidData, "layer_types and sliding_window_layout disagree");
  }
}

void read_layers(const json& config, ModelConfig& c) {
  const Rope rope = read_hf_rope(config, 1e6f);  // the default of the published configuration class
  const std::vector<bool> rotates = layout(config, "rope_layout", c.layers, true);
  const std::vector<bool> sliding = layout(config, "sliding_window_layout", c.layers, false);
  const int64_t window = find_int(config, "sliding_window_size", 1, 1 << 27, 4096);
  for (size_t l = 0; l < rotates.size(); ++l) {
    c.layer.push_back({.rope = rotates[l] ? rope : Rope{}, .window = sliding[l] ? window : 0});
  }
  check_sliding(config, sliding, window);
}

void read(const json& config, HfConfig& hf) {
  hf.notices = check_hf_config_keys(config, kKeys);
  check_layer_kinds(config);

  ModelConfig& c = hf.model = read_model(config, 0);
  // Defaults of the published configuration class.
  c.context = find_int(config, "max_position_embeddings", 1, 1 << 27, 131072);
  read_layers(config, c);
  c.set_ffn({.routed = true,
             .experts = get_int(config, "moe_num_primary_experts", 1, 1024),
             .used = get_int(config, "moe_num_active_primary_experts", 1, 64),
             .width = get_int(config, "moe_ffn_hidden_size", 1, 1 << 20),
             .activation = Activation::kRelu});
  c.gating = find_bool(config, "moe_primary_router_apply_softmax", false) ? Gating::kSoftmax
                                                                          : Gating::kSigmoid;
  hf.tied = find_bool(config, "tie_word_embeddings", true);
}

// Quantising the router scrambles the choice of experts, so it stays F32.
constexpr TensorName kExpertNames[] = {
    {"ffn_gate_inp", "block_sparse_moe.primary_router.weight", kExperts, kHidden, Kept::kF32},
    {"ffn_gate_exps", "block_sparse_moe.experts.{}.gate.weight", kFfn, kHidden, Kept::kAsAsked,
     kExperts},
    {"ffn_up_exps", "block_sparse_moe.experts.{}.up.weight", kFfn, kHidden, Kept::kAsAsked,
     kExperts},
    {"ffn_down_exps", "block_sparse_moe.experts.{}.down.weight", kHidden, kFfn, Kept::kAsAsked,
     kExperts},
};

constexpr std::string_view kPrefixes[] = {"model."};
constexpr std::span<const TensorName> kLayer[] = {kAttention, kNormOfFfn, kExpertNames};

constexpr std::string_view kTypes[] = {"smallthinker"};
constexpr std::string_view kClasses[] = {"SmallThinkerForCausalLM"};

}  // namespace

const HfFamily kHfSmallThinker = {
    "smallthinker", kTypes, kClasses, read, {kPrefixes, {}, kEmbedding, kLayer}, true};

}  // namespace st
