// Gemma 3n's config.json, of its text alone or with what it sees and hears around it.
#include <algorithm>
#include <cmath>
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

constexpr KnownKey kKeys[] = {
    {"intermediate_size"},
    {"activation_sparsity_pattern"},
    {"altup_coef_clip"},
    {"altup_num_inputs"},
    {"final_logit_softcapping"},
    {"hidden_size_per_layer_input"},
    {"laurel_rank"},
    {"num_kv_shared_layers"},
    {"rope_local_base_freq"},
    {"vocab_size_per_layer_input"},

    {"hidden_activation", R"(["gelu_pytorch_tanh"])"},
    {"hidden_act", R"(["gelu_pytorch_tanh"])"},
    {"altup_active_idx", "[0]"},
    {"altup_correct_scale", "[true]"},
    {"tie_word_embeddings", "[true]"},
    {"query_pre_attn_scalar"},  // scores are not scaled, whatever it says
    {"altup_lr_multiplier"},    // of training
};

// Around that: what is seen and heard, and its tokens.
constexpr KnownKey kOuterKeys[] = {
    {"architectures"},
    {"model_type"},
    {"text_config"},
    {"vision_config"},
    {"audio_config"},
    {"tie_word_embeddings", "[true]"},
    {"audio_token_id"},
    {"image_token_id"},
    {"boa_token_id"},
    {"boi_token_id"},
    {"eoa_token_id"},
    {"eoi_token_id"},
    {"audio_soft_tokens_per_image"},
    {"vision_soft_tokens_per_image"},
    {"bos_token_id"},
    {"eos_token_id"},
    {"pad_token_id"},
};

// The text's part of the configuration: all of it, unless other parts stand beside it.
const json& text_of(const json& config, HfConfig& hf) {
  const auto has = [&](const char* part) { return config.contains(part); };
  if (!has("text_config")) {
    if (!has("vision_config") && !has("audio_config")) return config;
    fail(ErrorCode::kInvalidData, "text_config: missing");
  }
  const json& text = config["text_config"];
  if (!text.is_object()) {
    fail(ErrorCode::kInvalidData, "text_config: want a JSON object, got {}", show_json(text));
  }
  hf.notices = check_hf_outer_keys(config, kOuterKeys);
  return text;
}

bool is_null(const json& config, const char* key) {
  return config.contains(key) && config[key].is_null();
}

// 0: none, which null stands for.
float read_softcap(const json& config) {
  constexpr const char* kKey = "final_logit_softcapping";
  return is_null(config, kKey) ? 0 : static_cast<float>(find_number(config, kKey, 1e-6, 1e6, 30));
}

// Who runs the file clips to the default, which it cannot be told.
float read_coefficient_limit(const json& config) {
  constexpr const char* kKey = "altup_coef_clip";
  if (is_null(config, kKey)) fail(ErrorCode::kUnsupported, "{} null unsupported", kKey);
  return static_cast<float>(find_number(config, kKey, 1e-6, 120, 120));
}

// Every fifth layer sees all, where no list says which.
std::vector<bool> read_sliding(const json& config, int64_t layers) {
  if (auto types = read_layer_types(config, layers)) return *std::move(types);
  std::vector<bool> slides;
  for (int64_t l = 0; l < layers; ++l) slides.push_back((l + 1) % 5 != 0);
  return slides;
}

// One width, or one for each layer.
std::vector<int64_t> read_widths(const json& config, int64_t layers) {
  const json* widths = find(config, "intermediate_size");
  if (widths == nullptr || !widths->is_array()) {
    return std::vector<int64_t>(static_cast<size_t>(layers),
                                get_int(config, "intermediate_size", 1, kMaxWidth));
  }
  std::vector<int64_t> list = int_array(*widths, "intermediate_size", 1, kMaxWidth);
  if (std::ssize(list) != layers) {
    fail(ErrorCode::kInvalidData, "intermediate_size: {} entries for {} layers", list.size(),
         layers);
  }
  return list;
}

// x with P(X < x) = p for a standard normal X.
double inverse_normal_cdf(double p) {
  double low = -10, high = 10;
  for (int i = 0; i < 80; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle / std::sqrt(2.0)) / 2 < p ? low : high) = middle;
  }
  return high;
}

// Gates further than so many deviations above the mean are kept, in each layer; -inf: all are.
std::vector<float> read_sparsity_scales(const json& config, int64_t layers) {
  std::vector<double> shares(static_cast<size_t>(layers), 0.0);
  if (const json* pattern = find(config, "activation_sparsity_pattern")) {
    if (!pattern->is_array() || pattern->size() != shares.size()) {
      fail(ErrorCode::kInvalidData,
           "activation_sparsity_pattern: want a list of {} numbers, got {}", layers,
           show_json(*pattern));
    }
    for (size_t l = 0; l < shares.size(); ++l) {
      const json& share = (*pattern)[l];
      if (!share.is_number() || !(share >= 0 && share <= 0.9999)) {
        fail(ErrorCode::kInvalidData, "activation_sparsity_pattern: want 0 to 0.9999, got {}",
             show_json(share));
      }
      shares[l] = share.get<double>();
    }
  } else if (layers > 10) {
    std::fill_n(shares.begin(), 10, 0.95);
  }
  std::vector<float> scales;
  for (const double share : shares) {  // which the published code has in single precision
    scales.push_back(share == 0
                         ? -std::numeric_limits<float>::infinity()
                         : static_cast<float>(inverse_normal_cdf(static_cast<float>(share))));
  }
  return scales;
}

// The last layers read keys and values of the last layer of their type before them. None does if
// that would be all of them. Returns their number.
int64_t share_keys(const json& config, ModelConfig& c) {
  const int64_t shared = find_int(config, "num_kv_shared_layers", 0, c.layers, 15);
  if (shared > c.layers) {
    fail(ErrorCode::kInvalidData,
         "num_kv_shared_layers: missing, and 15, its default, is more than {}", c.layers);
  }
  if (shared == c.layers) return 0;
  const int64_t own = c.layers - shared;
  for (int64_t l = own; l < c.layers; ++l) {
    const auto slides = [&](int64_t i) { return c.layer[static_cast<size_t>(i)].window > 0; };
    int64_t owner = own - 1;
    while (owner >= 0 && slides(owner) != slides(l)) --owner;
    if (owner < 0) {
      fail(ErrorCode::kInvalidData,
           "num_kv_shared_layers {}: no layer of the type of layer {} is left to have keys", shared,
           l);
    }
    c.layer[static_cast<size_t>(l)].kv_layer = owner;
  }
  return shared;
}

void read_streams(const json& config, HfConfig& hf) {
  hf.streams = {.count = find_int(config, "altup_num_inputs", 2, 8, 4),
                .laurel_rank = find_int(config, "laurel_rank", 1, 1 << 16, 64),
                .per_layer = get_int(config, "hidden_size_per_layer_input", 1, 1 << 16),
                .per_layer_vocab = find_int(config, "vocab_size_per_layer_input", 1, hf.model.vocab,
                                            hf.model.vocab),
                .largest_coefficient = read_coefficient_limit(config)};
}

void read_layers(const json& config, const HfRopes& rope, int64_t window, ModelConfig& c) {
  const std::vector<bool> slides = read_sliding(config, c.layers);
  const std::vector<int64_t> widths = read_widths(config, c.layers);
  for (size_t l = 0; l < slides.size(); ++l) {
    c.layer.push_back({.rope = slides[l] ? rope.sliding : rope.full,
                       .window = slides[l] ? window : 0,
                       .ffn = {.width = widths[l], .activation = Activation::kGelu}});
  }
}

void read(const json& outer, HfConfig& hf) {
  const json& config = text_of(outer, hf);
  const std::vector<std::string> off = check_hf_config_keys(config, kKeys);
  hf.notices.insert(hf.notices.end(), off.begin(), off.end());

  ModelConfig& c = hf.model = read_model(config, 0);
  c.context = find_int(config, "max_position_embeddings", 1, 1 << 27, 32768);
  hf.tied = true;
  read_streams(config, hf);
  const HfRopes rope = read_hf_ropes(config);
  const int64_t window = find_int(config, "sliding_window", 1, 1 << 27, 512);
  read_layers(config, rope, window, c);

  const auto u32 = [&](std::string_view key, int64_t value) {
    add_key(key, GgufValue::u32(static_cast<uint32_t>(value)), hf);
  };
  add_window_keys(window, hf);
  u32("attention.shared_kv_layers", share_keys(config, c));
  add_key("rope.freq_base", GgufValue::f32(rope.full.theta), hf);
  add_key("rope.freq_base_swa", GgufValue::f32(rope.sliding.theta), hf);
  add_key("final_logit_softcapping", GgufValue::f32(read_softcap(config)), hf);
  u32("altup.active_idx", 0);
  u32("altup.num_inputs", hf.streams.count);
  u32("embedding_length_per_layer_input", hf.streams.per_layer);
  add_key("activation_sparsity_scale",
          GgufValue::array(GgufArray::of(read_sparsity_scales(config, c.layers))), hf);
}

constexpr std::string_view kPrefixes[] = {"model.language_model.", "model."};
constexpr std::string_view kSkipped[] = {"model.vision_tower.", "model.audio_tower.",
                                         "model.embed_vision.", "model.embed_audio."};

constexpr TensorName kModelNames[] = {
    kEmbedding[0],
    {"per_layer_token_embd", "embed_tokens_per_layer.weight", kPerLayerVocab, kPerLayerAll},
    {"per_layer_model_proj", "per_layer_model_projection.weight", kPerLayerAll, kHidden},
    {"per_layer_proj_norm", "per_layer_projection_norm.weight", kPerLayer},
    {"altup_proj", "altup_projections.{}.weight", kHidden, kHidden, Kept::kAsAsked, kOtherStreams},
    {"altup_unembd_proj", "altup_unembed_projections.{}.weight", kHidden, kHidden, Kept::kAsAsked,
     kOtherStreams},
};

constexpr TensorName kLayerNames[] = {
    {"post_attention_norm", "post_attention_layernorm.weight", kHidden},
    {"ffn_norm", "pre_feedforward_layernorm.weight", kHidden},
    {"post_ffw_norm", "post_feedforward_layernorm.weight", kHidden},
    {"laurel_l", "laurel.linear_left.weight", kLaurel, kHidden},
    {"laurel_r", "laurel.linear_right.weight", kHidden, kLaurel},
    {"laurel_post_norm", "laurel.post_laurel_norm.weight", kHidden},
    {"inp_gate", "per_layer_input_gate.weight", kPerLayer, kHidden},
    {"proj", "per_layer_projection.weight", kHidden, kPerLayer},
    {"post_norm", "post_per_layer_input_norm.weight", kHidden},
    {"altup_correct_coef", "altup.correction_coefs.weight", kStreams, kStreams, Kept::kCoefficient},
    {"altup_correct_scale", "altup.correct_output_scale", kHidden},
    {"altup_predict_coef", "altup.prediction_coefs.weight", kStreamsSquared, kStreams,
     Kept::kCoefficient},
    {"altup_router", "altup.modality_router.weight", kStreams, kHidden, Kept::kF32},
    {"altup_router_norm", "altup.router_norm.weight", kHidden},
};

constexpr std::span<const TensorName> kLayer[] = {kAttention, kHeadNorms, kDenseFfn, kLayerNames};

constexpr std::string_view kTypes[] = {"gemma3n", "gemma3n_text"};
constexpr std::string_view kClasses[] = {"Gemma3nForConditionalGeneration", "Gemma3nForCausalLM"};

}  // namespace

const HfFamily kHfGemma3n = {
    "gemma3n", kTypes, kClasses, read, {kPrefixes, kSkipped, kModelNames, kLayer}};

}  // namespace st
