// The page to read first: how a token becomes logits.
//
// Notation of the technical report: x is the residual stream (T, D), T tokens at a time. See
// docs/ARCHITECTURE.md for where everything else lives.
#include "model/forward.h"

#include <algorithm>

#include "model/attention.h"
#include "model/lm_head.h"
#include "model/moe.h"
#include "quant/quantize.h"

namespace st {
namespace {

// x[t] = E[token_t]
void embed(Step& s) {
  if (s.embedding != nullptr) {
    std::vector<int32_t> tokens;
    for (const BatchItem& item : s.batch) tokens.push_back(item.token);
    return s.embedding->read(tokens, s.state.x.data(), s.stop);
  }
  for (int64_t t = 0; t < s.tokens(); ++t) {
    dequantize_row(s.weights.embedding.matrix, s.batch[static_cast<size_t>(t)].token,
                   s.state.x.data() + t * s.config.hidden);
  }
}

// h[t] = RMSNorm(x[t]) * weight
void norm(Step& s, const float* weight) {
  const int64_t D = s.config.hidden;
  s.pool.parallel_for(s.tokens(), 4, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      s.kernels.rms_norm(s.state.x.data() + t * D, weight, s.config.rms_eps, D,
                         s.state.h.data() + t * D);
    }
  });
}

// At the end of a layer, however it ends.
struct Released {
  Step& s;
  int64_t layer;
  ~Released() { s.experts.release(layer); }
};

ExpertDemand demand(const Step& s) {
  return {s.state.plan.experts, s.state.plan.begin, s.tokens(), s.stop};
}

void observe(Step& s, std::string_view what, int64_t layer) {
  if (!s.observer) return;
  const auto values = static_cast<size_t>(s.tokens() * s.config.hidden);
  (*s.observer)(what, layer, s.state.x.span().first(values));
}

}  // namespace

std::span<const float> forward(const Architecture& architecture, Step& step) {
  step.state.stats.tokens += static_cast<uint64_t>(step.tokens());
  ++step.state.stats.passes;
  embed(step);
  observe(step, "embed", -1);
  prepare_attention(step);
  for (int64_t l = 0; l < step.config.layers; ++l) {
    architecture.layer(step, l);
    observe(step, "layer", l);
  }
  return lm_head(step);
}

void early_router_layer(Step& s, int64_t l) {
  const Layer& layer = s.weights.layers[static_cast<size_t>(l)];

  route(s, l);  // the router reads x itself, not normalised ...
  const Released released{s, l};
  s.experts.prefetch(l, demand(s));  // ... so the experts can be fetched meanwhile,
  foresee(s, l + 1);                 // and perhaps some of the next layer's

  if (s.routing_observer) (*s.routing_observer)(l, s.state.plan.chosen);

  norm(s, layer.attn_norm);
  attention(s, l);  // x += Wo attention(h)

  norm(s, layer.ffn_norm);
  moe_ffn(s, l);  // x += sum_e w_e Down_e(relu(Gate_e h) * Up_e h)
}

}  // namespace st
