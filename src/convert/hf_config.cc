#include "convert/hf_config.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"

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

void refuse(bool is_on, std::string_view what) {
  if (is_on) fail(ErrorCode::kUnsupported, "{} unsupported", what);
}

void check_unsupported(const json& config) {
  refuse(find_bool(config, "use_qk_norm", false), "use_qk_norm true");
  refuse(!find_bool(config, "norm_topk_prob", true), "norm_topk_prob false");
  refuse(!find_bool(config, "moe_enable_early_router", true), "moe_enable_early_router false");
  refuse(find(config, "rope_scaling") != nullptr, "rope_scaling");
  for (const char* key : {"moe_num_shared_experts", "moe_num_secondary_experts",
                          "moe_num_active_secondary_experts"}) {
    refuse(find_int(config, key, 0, 1 << 20, 0) != 0, key);
  }
  if (const json* layout = find(config, "moe_layer_layout")) {
    for (const int64_t moe : int_array(*layout, "moe_layer_layout", 0, 1)) {
      refuse(moe == 0, "moe_layer_layout with dense layers");
    }
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

}  // namespace

HfConfig parse_hf_config(std::string_view text) {
  const json config = parse_json(text);
  check_architecture(config);
  check_unsupported(config);

  constexpr int64_t kMax = int64_t{1} << 27;
  HfConfig hf;
  ModelConfig& c = hf.model;
  c.architecture = "smallthinker";
  c.name = find_string(config, "model_name", "smallthinker");
  c.layers = get_int(config, "num_hidden_layers", 1, 512);
  c.hidden = get_int(config, "hidden_size", 1, kMax);
  c.heads = get_int(config, "num_attention_heads", 1, 1024);
  c.kv_heads = find_int(config, "num_key_value_heads", 1, 1024, c.heads);
  c.head_dim = find_int(config, "head_dim", 1, 1024, c.hidden / c.heads);
  c.experts = get_int(config, "moe_num_primary_experts", 1, 1024);
  c.experts_used = get_int(config, "moe_num_active_primary_experts", 1, 1024);
  c.ffn = get_int(config, "moe_ffn_hidden_size", 1, kMax);
  c.vocab = get_int(config, "vocab_size", 1, kMax);
  // Defaults of the published configuration class.
  c.context = find_int(config, "max_position_embeddings", 1, kMax, 131072);
  c.rms_eps = static_cast<float>(find_number(config, "rms_norm_eps", 1e-6));
  c.rope_theta = static_cast<float>(find_number(config, "rope_theta", 1e6));
  c.rope = layout(config, "rope_layout", c.layers, true);
  c.sliding = layout(config, "sliding_window_layout", c.layers, false);
  c.window = find_int(config, "sliding_window_size", 1, kMax, 4096);
  c.gating = find_bool(config, "moe_primary_router_apply_softmax", false) ? Gating::kSoftmax
                                                                          : Gating::kSigmoid;
  hf.tied = find_bool(config, "tie_word_embeddings", true);
  check_config(c, "");
  return hf;
}

}  // namespace st
