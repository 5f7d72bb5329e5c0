// A family that is none of ours: SiLU, the router behind attention, a norm of what attention adds,
// another RoPE base in every other layer. All it needs is this file.
#include "toys/toy_family.h"

#include "arch/common.h"
#include "arch/names.h"
#include "model/attention.h"
#include "model/blocks.h"
#include "model/expert_ffn.h"
#include "model/router.h"

namespace st {
namespace {
struct Layer {
  const float *attn_norm, *post_norm, *ffn_norm;  // (D)
  AttentionWeights attention;
  Matrix router;  // (E, D)
};

struct Toy final : Decoder {
  Toy(Weights weights, std::vector<Layer> all) : Decoder(std::move(weights)), layers(all) {}

  void layer(Step& s, int64_t l) const override {
    const Layer& w = layers[static_cast<size_t>(l)];
    float *x = s.state.x.data(), *h = s.state.h.data(), *o = s.state.o.data();  // (T, D) each
    norm(s, x, w.attn_norm, h);
    attention(s, w.attention, l, h, o);
    norm(s, o, w.post_norm, h);
    add(s, h, x);
    norm(s, x, w.ffn_norm, h);
    route(s, l, w.router, h);
    const RoutedExperts experts(s, l);
    expert_ffn(s, l, h, x);
  }

  const std::vector<Layer> layers;  // (L)
};

ModelConfig read_config(const GgufModel& model, const ConfigOptions&, Notices& notices) {
  const ConfigKeys keys(model, kToy.name);
  ModelConfig c = read_base_config(keys, notices);
  c.set_ffn(read_experts(keys, Activation::kSilu));
  for (size_t l = 0; l < c.layer.size(); l += 2) c.layer[l].rope.theta = 100;
  check_config(c, keys.prefix());
  return c;
}

std::unique_ptr<Decoder> load(WeightStore& store, const ModelConfig& c) {
  using names::layer;
  std::vector<Layer> all;
  for (int64_t l = 0; l < c.layers; ++l) {
    all.push_back({.attn_norm = store.norm(layer(l, names::kAttnNorm), c.hidden),
                   .post_norm = store.norm(layer(l, "post_attention_norm"), c.hidden),
                   .ffn_norm = store.norm(layer(l, names::kFfnNorm), c.hidden),
                   .attention = load_attention(store, c, l),
                   .router = store.matrix(layer(l, names::kRouter), c.ffn(l).experts, c.hidden)});
  }
  return std::make_unique<Toy>(load_weights(store, c, false), std::move(all));
}
}  // namespace

const Architecture kToy = {"toy", read_config, load};
}  // namespace st
