#include "convert/hf_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "convert/hf_config_keys.h"
#include "convert/hf_rope.h"
#include "format/json_object.h"

namespace st {
namespace {

using nlohmann::json;

// The 21B's config.json has no model_type, so the class name decides; either is enough.
void check_architecture(const json& config) {
  const std::string type = find_string(config, "model_type", "");
  std::string name;
  if (const json* names = find(config, "architectures");
      names != nullptr && names->is_array() && !names->empty() && (*names)[0].is_string()) {
    name = (*names)[0].get<std::string>();
  }
  if (type == "smallthinker" || name == "SmallThinkerForCausalLM") return;
  fail(ErrorCode::kUnsupported, "architecture '{}' unsupported (known: SmallThinkerForCausalLM)",
       printable(name.empty() ? type : name));
}

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
  const HfRope rope = read_hf_rope(config);
  const std::vector<bool> rotates = layout(config, "rope_layout", c.layers, true);
  const std::vector<bool> sliding = layout(config, "sliding_window_layout", c.layers, false);
  const int64_t window = find_int(config, "sliding_window_size", 1, 1 << 27, 4096);
  for (size_t l = 0; l < rotates.size(); ++l) {
    c.layer.push_back({.rope = rotates[l] ? Rope{rope.theta, rope.factor} : Rope{},
                       .window = sliding[l] ? window : 0});
  }
  check_sliding(config, sliding, window);
}

}  // namespace

HfConfig parse_hf_config(std::string_view text) {
  const json config = parse_json_object(text);
  check_architecture(config);
  HfConfig hf;
  hf.notices = check_hf_config_keys(config);
  check_layer_kinds(config);

  ModelConfig& c = hf.model;
  c.architecture = "smallthinker";
  c.name = find_string(config, "model_name", "smallthinker");
  c.layers = get_int(config, "num_hidden_layers", 1, 512);
  c.hidden = get_int(config, "hidden_size", 1, 1 << 16);
  c.heads = get_int(config, "num_attention_heads", 1, 1024);
  c.kv_heads = find_int(config, "num_key_value_heads", 1, 1024, c.heads);
  c.head_dim = find_int(config, "head_dim", 2, 1024, c.hidden / c.heads);
  const Ffn ffn{.routed = true,
                .experts = get_int(config, "moe_num_primary_experts", 1, 1024),
                .used = get_int(config, "moe_num_active_primary_experts", 1, 64),
                .width = get_int(config, "moe_ffn_hidden_size", 1, 1 << 20),
                .activation = Activation::kRelu};
  c.vocab = get_int(config, "vocab_size", 1, 1 << 24);
  // Defaults of the published configuration class.
  c.context = find_int(config, "max_position_embeddings", 1, 1 << 27, 131072);
  c.rms_eps = static_cast<float>(find_number(config, "rms_norm_eps", 0, 1, 1e-6));
  read_layers(config, c);
  c.set_ffn(ffn);
  c.gating = find_bool(config, "moe_primary_router_apply_softmax", false) ? Gating::kSoftmax
                                                                          : Gating::kSigmoid;
  hf.tied = find_bool(config, "tie_word_embeddings", true);
  check_config(c, "");
  return hf;
}

}  // namespace st
