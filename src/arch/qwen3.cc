// Qwen3, dense and with experts: the heads of queries and keys are normalised before they rotate,
// the networks are SwiGLU, a router reads what its experts read. After transformers'
// modular_qwen3.py and modular_qwen3_moe.py; GGUF keys as llama.cpp writes them, and
// qwen3moe.expert_weights_norm, which it has for other families. A layer without a router is
// dense.
#include <fmt/format.h>

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
  Matrix router;          // (E, D); without data: dense
};

class Qwen3 final : public Decoder {
 public:
  Qwen3(Weights weights, std::vector<Layer> layers)
      : Decoder(std::move(weights)), layers_(std::move(layers)) {}

  void layer(Step& s, int64_t l) const override {
    const Layer& w = layers_[static_cast<size_t>(l)];
    float *x = s.state.x.data(), *h = s.state.h.data(), *o = s.state.o.data();  // (T, D) each

    norm(s, x, w.attn_norm, h);
    attention(s, w.attention, l, h, o);
    add(s, o, x);

    norm(s, x, w.ffn_norm, h);
    w.router ? route(s, l, w.router, h) : use_all(s);
    const RoutedExperts experts(s, l);
    guess_next(s, l);
    expert_ffn(s, l, h, x);  // x += sum_e w_e Down_e(silu(Gate_e h) * Up_e h)
  }

 private:
  // The next layer's router reads nearly this x: attention and this layer's network change it.
  void guess_next(Step& s, int64_t l) const {
    if (l + 1 == s.config.layers || !s.experts.wants_guess()) return;
    const Layer& next = layers_[static_cast<size_t>(l + 1)];
    if (!next.router) return;
    norm(s, s.state.x.data(), next.ffn_norm, s.state.o.data());
    foresee(s, l + 1, next.router, s.state.o.data());
  }

  std::vector<Layer> layers_;  // (L)
};

// Layers that slide, of which there are none in published models; the keys are llama.cpp's for
// other families.
void read_windows(const ConfigKeys& keys, ModelConfig& c) {
  constexpr std::string_view kWindow = "attention.sliding_window";
  constexpr std::string_view kPattern = "attention.sliding_window_pattern";
  const int64_t window = keys.find_u32(kWindow).value_or(0);
  const auto slides = keys.find_layout(kPattern, c.layers);
  if (window > 0 && !slides) {
    fail(ErrorCode::kInvalidData, "key {}: missing, but {} is {}", keys.key(kPattern),
         keys.key(kWindow), window);
  }
  for (size_t l = 0; slides && l < c.layer.size(); ++l) {
    if (!(*slides)[l]) continue;
    if (window == 0) {
      fail(ErrorCode::kInvalidData, "layer {} slides but {} is 0", l, keys.key(kWindow));
    }
    c.layer[l].window = window;
  }
}

ModelConfig read_dense(const GgufModel& model, const ConfigOptions&, Notices& notices) {
  const ConfigKeys keys(model, kQwen3.name);
  ModelConfig c = read_base_config(keys, notices);
  c.set_ffn({.width = keys.get_u32("feed_forward_length")});
  read_windows(keys, c);
  check_config(c, keys.prefix());
  return c;
}

Gating read_gating(const ConfigKeys& keys) {
  const bool of_all = !keys.find_bool("expert_weights_norm").value_or(true);
  const auto function = keys.find_u32("expert_gating_func").value_or(0);
  if (function > 1) {
    fail(ErrorCode::kUnsupported, "key {} {} unsupported, want 1 (softmax)",
         keys.key("expert_gating_func"), function);
  }
  return of_all ? Gating::kSoftmaxOfAll : Gating::kSoftmax;
}

ModelConfig read_moe(const GgufModel& model, const ConfigOptions&, Notices& notices) {
  const ConfigKeys keys(model, kQwen3Moe.name);
  ModelConfig c = read_base_config(keys, notices);
  const auto dense_width = keys.find_u32("feed_forward_length");
  Ffn routed = read_experts(keys, Activation::kSilu);
  if (!keys.find_u32("expert_feed_forward_length") && routed.used > 0) {
    routed.width /= routed.used;  // what the key for all layers is then: that of a token
  }
  for (int64_t l = 0; l < c.layers; ++l) {
    const bool dense = !model.find(names::layer(l, names::kRouter)) &&
                       !model.find(names::layer(l, names::kFfnGate));
    c.layer[static_cast<size_t>(l)].ffn = dense ? Ffn{.width = dense_width.value_or(0)} : routed;
  }
  read_windows(keys, c);
  c.gating = read_gating(keys);
  check_config(c, keys.prefix());
  return c;
}

std::unique_ptr<Decoder> load(WeightStore& store, const ModelConfig& c) {
  using names::layer;
  std::vector<Layer> layers;
  for (int64_t l = 0; l < c.layers; ++l) {
    const Ffn& ffn = c.ffn(l);
    AttentionWeights attention = load_attention(store, c, l);
    attention.q_norm = store.norm(layer(l, names::kQNorm), c.head_dim);
    attention.k_norm = store.norm(layer(l, names::kKNorm), c.head_dim);
    layers.push_back({.attn_norm = store.norm(layer(l, names::kAttnNorm), c.hidden),
                      .attention = attention,
                      .ffn_norm = store.norm(layer(l, names::kFfnNorm), c.hidden),
                      .router = ffn.routed
                                    ? store.matrix(layer(l, names::kRouter), ffn.experts, c.hidden)
                                    : Matrix{}});
  }
  return std::make_unique<Qwen3>(load_weights(store, c, false), std::move(layers));
}

}  // namespace

const Architecture kQwen3 = {"qwen3", read_dense, load};
const Architecture kQwen3Moe = {"qwen3moe", read_moe, load};

}  // namespace st
