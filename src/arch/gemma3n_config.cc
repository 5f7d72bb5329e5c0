// The configuration of Gemma 3n from the keys that llama.cpp writes, with its reading of files that
// lack some.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "arch/gemma3n.h"
#include "arch/names.h"
#include "base/error.h"

namespace st::gemma3n {
namespace {

const GgufArray* find_array(const ConfigKeys& keys, std::string_view suffix) {
  const GgufValue* value = keys.file().find(keys.key(suffix));
  return value == nullptr ? nullptr : std::get_if<GgufArray>(&value->value);
}

void check_count(const ConfigKeys& keys, std::string_view suffix, const GgufArray& array,
                 int64_t layers) {
  if (array.count == static_cast<uint64_t>(layers)) return;
  fail(ErrorCode::kInvalidData, "key {}: {} entries for {} layers", keys.key(suffix), array.count,
       layers);
}

// One for all layers, or one for each.
std::vector<int64_t> read_widths(const ConfigKeys& keys, int64_t layers) {
  constexpr std::string_view kWidth = "feed_forward_length";
  const auto count = static_cast<size_t>(layers);
  if (find_array(keys, kWidth) == nullptr) return std::vector(count, keys.get_u32(kWidth));
  const GgufArray& array = *keys.file().find_integers(keys.key(kWidth));
  check_count(keys, kWidth, array, layers);
  std::vector<int64_t> widths;
  for (uint64_t l = 0; l < count; ++l) widths.push_back(array.integer(l));
  return widths;
}

// Which layers slide: a flag for each, or all but each n-th.
std::vector<bool> read_sliding(const ConfigKeys& keys, int64_t layers) {
  constexpr std::string_view kPattern = "attention.sliding_window_pattern";
  constexpr uint32_t kPeriod = 5;
  if (find_array(keys, kPattern) != nullptr) return *keys.find_layout(kPattern, layers);
  const int64_t period = keys.find_u32(kPattern).value_or(kPeriod);
  std::vector<bool> slides;
  for (int64_t l = 1; l <= layers; ++l) slides.push_back(period == 0 || l % period != 0);
  return slides;
}

// By how many standard deviations the gates of a layer must exceed their mean; -infinity: all stay.
std::vector<float> read_cutoffs(const ConfigKeys& keys, int64_t layers) {
  constexpr std::string_view kScale = "activation_sparsity_scale";
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  constexpr float kUsual = 1.6448536f;  // a normal distribution has 5 % above
  constexpr size_t kUsualLayers = 10;
  const auto count = static_cast<size_t>(layers);
  std::vector<float> cutoffs(count, kNone);
  const GgufValue* value = keys.file().find(keys.key(kScale));
  if (value == nullptr) {
    if (count > kUsualLayers) std::fill_n(cutoffs.begin(), kUsualLayers, kUsual);
    return cutoffs;
  }
  const auto* array = std::get_if<GgufArray>(&value->value);
  if (array == nullptr || array->type != GgufType::kF32) {
    fail(ErrorCode::kInvalidData, "key {} {}: want an array of f32", keys.key(kScale),
         printable(*value));
  }
  check_count(keys, kScale, *array, layers);
  for (size_t l = 0; l < count; ++l) {
    cutoffs[l] = static_cast<float>(array->number(l));
    if (std::isnan(cutoffs[l]) || cutoffs[l] == -kNone) {
      fail(ErrorCode::kInvalidData, "key {}: layer {}: {}, want a finite number or -inf",
           keys.key(kScale), l, cutoffs[l]);
    }
  }
  return cutoffs;
}

// The last layers read the keys and values of the last one before them that has its own and sees as
// far back.
void share_keys(const ConfigKeys& keys, ModelConfig& c) {
  constexpr std::string_view kShared = "attention.shared_kv_layers";
  constexpr int64_t kUsuallyOwn = 20;
  const auto shared = keys.find_u32(kShared);
  const int64_t own = shared ? c.layers - *shared : std::min(c.layers, kUsuallyOwn);
  if (own <= 0) {
    if (own == 0) return;  // which the published code takes as none
    fail(ErrorCode::kInvalidData, "key {} {}: want 0..{}", keys.key(kShared), *shared, c.layers);
  }
  for (int64_t l = own; l < c.layers; ++l) {
    LayerConfig& layer = c.layer[static_cast<size_t>(l)];
    int64_t source = own - 1;
    while (source >= 0 && c.layer[static_cast<size_t>(source)].window != layer.window) --source;
    if (source < 0) {
      fail(ErrorCode::kInvalidData, "key {} {}: no layer before {} has keys for it",
           keys.key(kShared), c.layers - own, l);
    }
    layer.kv_layer = source;
  }
}

void read_layers(const ConfigKeys& keys, ModelConfig& c) {
  constexpr float kSlidingBase = 10'000;
  const int64_t window = keys.get_u32("attention.sliding_window");
  const float base = find_rope_base(keys, "rope.freq_base_swa").value_or(kSlidingBase);
  const std::vector<bool> slides = read_sliding(keys, c.layers);
  const std::vector<int64_t> widths = read_widths(keys, c.layers);
  const std::vector<float> cutoffs = read_cutoffs(keys, c.layers);
  for (size_t l = 0; l < c.layer.size(); ++l) {
    LayerConfig& layer = c.layer[l];
    if (slides[l] && window < 1) {
      fail(ErrorCode::kInvalidData, "layer {} slides but {} is {}", l,
           keys.key("attention.sliding_window"), window);
    }
    if (slides[l]) {
      layer.window = window;
      layer.rope = {.theta = base};
    }
    layer.ffn = {.width = widths[l], .activation = Activation::kGelu, .cutoff = cutoffs[l]};
  }
}

int64_t number_within(const ConfigKeys& keys, std::string_view suffix, uint32_t otherwise,
                      int64_t least, int64_t most) {
  const int64_t value = keys.find_u32(suffix).value_or(otherwise);
  if (value < least || value > most) {
    fail(ErrorCode::kInvalidData, "key {} {}: want {}..{}", keys.key(suffix), value, least, most);
  }
  return value;
}

}  // namespace

Shape read_shape(const ConfigKeys& keys) {
  constexpr int64_t kWidest = 1 << 16;
  const GgufTensor* left = keys.model().find(names::layer(0, kLaurelLeft)).info;
  return {.streams = number_within(keys, "altup.num_inputs", 4, 2, kMostStreams),
          .per_layer = number_within(keys, "embedding_length_per_layer_input", 256, 1, kWidest),
          .rank = left == nullptr
                      ? 1
                      : static_cast<int64_t>(std::min<uint64_t>(left->dim(1), kWidest))};
}

ModelConfig read_config(const GgufModel& model, const ConfigOptions&, Notices& notices) {
  constexpr float kUsualCap = 30;
  const ConfigKeys keys(model, kGemma3n.name);
  ModelConfig c = read_base_config(keys, notices);
  if (c.layer.front().rope.yarn_context > 0) {  // of which layers, nobody has said
    fail(ErrorCode::kUnsupported, "key {} 'yarn' unsupported", keys.key("rope.scaling.type"));
  }
  number_within(keys, "altup.active_idx", 0, 0, 0);
  const auto [streams, per_layer, rank] = read_shape(keys);
  c.attention_scale = 1;
  c.norm_values = true;
  c.logit_softcap = keys.find_f32("final_logit_softcapping").value_or(kUsualCap);
  read_layers(keys, c);
  share_keys(keys, c);
  // As gemma3n.cc has them: the other streams, a branch, narrow values, modalities, and what a
  // token brings for each layer.
  c.extra.assign(static_cast<size_t>(streams), c.hidden);
  c.extra.insert(c.extra.end(), {std::max(per_layer, rank), streams, c.layers * per_layer});
  c.extra_input = std::max(per_layer, rank);
  check_config(c, keys.prefix());
  return c;
}

}  // namespace st::gemma3n
