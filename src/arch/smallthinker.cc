// SmallThinker 4B-A0.6B and 21B-A3B: sparse mixture-of-experts decoders whose router reads the
// layer's input before attention. Technical report, section 2; GGUF keys as llama.cpp writes them,
// plus our own smallthinker.rope_layout, .sliding_window_layout and .ffn_down_transposed.
#include <fmt/format.h>

#include <algorithm>

#include "arch/common.h"
#include "arch/names.h"
#include "base/error.h"
#include "model/attention.h"
#include "model/blocks.h"
#include "model/expert_ffn.h"
#include "model/router.h"

namespace st {
namespace {

struct Layer {
  const float* attn_norm;  // (D)
  AttentionWeights attention;
  const float* ffn_norm;  // (D)
  Matrix router;          // (E, D)
};

class SmallThinker final : public Decoder {
 public:
  SmallThinker(Weights weights, std::vector<Layer> layers)
      : Decoder(std::move(weights)), layers_(std::move(layers)) {}

  void layer(Step& s, int64_t l) const override {
    const Layer& w = layers_[static_cast<size_t>(l)];
    float *x = s.state.x.data(), *h = s.state.h.data(), *o = s.state.o.data();  // (T, D) each

    route(s, l, w.router, x);           // the router reads x itself, not normalised ...
    const RoutedExperts experts(s, l);  // ... so the experts can be fetched meanwhile,
    if (l + 1 < s.config.layers) {      // and perhaps some of the next layer's
      foresee(s, l + 1, layers_[static_cast<size_t>(l + 1)].router, x);
    }

    norm(s, x, w.attn_norm, h);
    attention(s, w.attention, l, h, o);
    add(s, o, x);

    norm(s, x, w.ffn_norm, h);
    expert_ffn(s, l, h, x);  // x += sum_e w_e Down_e(relu(Gate_e h) * Up_e h)
  }

 private:
  std::vector<Layer> layers_;  // (L)
};

// Files without our layout arrays follow llama.cpp's reading: a sliding_window key means that every
// fourth layer, from 0, is global without RoPE and the others slide with it; no key means RoPE on
// every layer and no window.
void read_layouts(const ConfigKeys& keys, ModelConfig& c) {
  const int64_t window = keys.find_u32("attention.sliding_window").value_or(0);
  std::vector<bool> implied(static_cast<size_t>(c.layers), window > 0);
  for (size_t l = 0; l < implied.size(); l += 4) implied[l] = false;
  const std::vector<bool> all(static_cast<size_t>(c.layers), true);
  const auto slides = keys.find_layout("sliding_window_layout", c.layers).value_or(implied);
  const auto rotates =
      keys.find_layout("rope_layout", c.layers).value_or(window > 0 ? implied : all);
  for (size_t l = 0; l < c.layer.size(); ++l) {
    if (slides[l] && window < 1) {
      fail(ErrorCode::kInvalidData, "layer {} slides but {} is {}", l,
           keys.key("attention.sliding_window"), window);
    }
    c.layer[l].window = slides[l] ? window : 0;
    if (!rotates[l]) c.layer[l].rope = {};
  }
}

// llama.cpp's own statement of which layers slide: every one but each n-th from 0, or one by one.
void check_window_pattern(const ConfigKeys& keys, const ModelConfig& c) {
  const std::string name = keys.key("attention.sliding_window_pattern");
  const GgufValue* value = keys.file().find(name);
  if (value == nullptr) return;
  const auto* array = std::get_if<GgufArray>(&value->value);
  const int64_t period = array == nullptr ? keys.file().get_u32(name) : 0;
  bool same = array == nullptr ||
              (array->holds_integers() && array->count == static_cast<uint64_t>(c.layers));
  for (int64_t l = 0; same && l < c.layers; ++l) {
    const bool slides = array == nullptr ? period == 0 || l % period != 0
                                         : array->integer(static_cast<uint64_t>(l)) != 0;
    same = slides == (c.layer[static_cast<size_t>(l)].window > 0);
  }
  if (!same) {
    fail(ErrorCode::kUnsupported, "key {} {}: differs from the layers that slide", name,
         printable(*value));
  }
}

constexpr std::string_view kDownTransposed = "ffn_down_transposed";

// The reference's converter never wrote the key for the 4B, whose configuration says sigmoid.
Gating read_gating(const ConfigKeys& keys, const ModelConfig& c, const ConfigOptions& options,
                   Notices& notices) {
  const auto value = keys.find_u32("expert_gating_func");
  if (options.gating) return *options.gating;
  if (value && *value != 0) {
    if (*value == 1) return Gating::kSoftmax;
    if (*value == 2) return Gating::kSigmoid;
    fail(ErrorCode::kInvalidData, "key {} {}: want 1 (softmax) or 2 (sigmoid)",
         keys.key("expert_gating_func"), *value);
  }
  const bool is_4b = c.hidden == 1536 && c.ffn(0).experts == 32 && c.ffn(0).used == 4;
  notices.push_back(fmt::format(
      "no expert gating function in the file: using {}{} (--moe-gating overrides)",
      is_4b ? "sigmoid" : "softmax", is_4b ? ", as the 4B model's configuration says" : ""));
  return is_4b ? Gating::kSigmoid : Gating::kSoftmax;
}

ModelConfig read_config(const GgufModel& model, const ConfigOptions& options, Notices& notices) {
  const ConfigKeys keys(model, kSmallThinker.name);
  ModelConfig c = read_base_config(keys, notices);
  c.set_ffn(read_experts(keys, Activation::kRelu));
  read_layouts(keys, c);
  check_window_pattern(keys, c);
  if (!keys.find_bool(kDownTransposed) && c.hidden == c.ffn(0).width) {  // where shapes do not tell
    notices.push_back(
        "down matrices are square and the file does not say how they lie: reading them as "
        "llama.cpp does");
  }
  c.gating = read_gating(keys, c, options, notices);
  check_config(c, keys.prefix());
  return c;
}

std::unique_ptr<Decoder> load(WeightStore& store, const ModelConfig& c) {
  using names::layer;
  std::vector<Layer> layers;
  for (int64_t l = 0; l < c.layers; ++l) {
    layers.push_back(
        {.attn_norm = store.norm(layer(l, names::kAttnNorm), c.hidden),
         .attention = load_attention(store, c, l),
         .ffn_norm = store.norm(layer(l, names::kFfnNorm), c.hidden),
         .router = store.matrix(layer(l, names::kRouter), c.ffn(l).experts, c.hidden)});
  }
  const ConfigKeys keys(store.model(), kSmallThinker.name);
  const bool down_transposed = keys.find_bool(kDownTransposed).value_or(false);
  return std::make_unique<SmallThinker>(load_weights(store, c, down_transposed), std::move(layers));
}

}  // namespace

const Architecture kSmallThinker = {"smallthinker", read_config, load};

}  // namespace st
