// Notation of the technical report: x is the residual stream (T, D), T tokens at a time. What a
// layer does is the family's: arch/smallthinker.cc. See docs/ARCHITECTURE.md for the rest.
#include "model/forward.h"

#include "model/attention.h"
#include "model/blocks.h"
#include "model/lm_head.h"

namespace st {
namespace {

void observe(Step& s, std::string_view what, int64_t layer) {
  if (!s.observer) return;
  const auto values = static_cast<size_t>(s.tokens() * s.config.hidden);
  (*s.observer)(what, layer, s.state.x.span().first(values));
}

}  // namespace

std::span<const float> forward(const Decoder& decoder, Step& step) {
  step.state.stats.tokens += static_cast<uint64_t>(step.tokens());
  ++step.state.stats.passes;
  step.state.failures.assign(step.batch.size(), std::nullopt);
  embed(step, step.state.x.data());
  observe(step, "embed", -1);
  prepare_attention(step);
  for (int64_t l = 0; l < step.config.layers; ++l) {
    decoder.layer(step, l);
    observe(step, "layer", l);
  }
  return lm_head(step);
}

}  // namespace st
