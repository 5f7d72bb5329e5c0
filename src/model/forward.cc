// Notation of the technical report: x is the residual stream (T, D), T tokens at a time. What a
// layer does is the family's: arch/smallthinker.cc. See docs/ARCHITECTURE.md for the rest.
#include "model/forward.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

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

// From this layer on no keys and values are stored: what is computed of a token there only its own
// logits show.
int64_t first_without_kv(const ModelConfig& c) {
  int64_t l = c.layers;
  while (l > 0 && !c.layer[static_cast<size_t>(l - 1)].owns_kv()) --l;
  return l;
}

// As long as it lives, the batch consists of the tokens whose logits are wanted.
class WantedOnly {
 public:
  explicit WantedOnly(Step& step) : step_(step), all_(step.batch) {
    for (size_t t = 0; t < all_.size(); ++t) {
      if (!all_[t].logits) continue;
      index_.push_back(t);
      items_.push_back(all_[t]);
    }
    State& state = step.state;
    move_up(state.x, step.config.hidden);
    for (size_t i = 0; i < state.extra.size(); ++i) move_up(state.extra[i], step.config.extra[i]);
    failures_ = std::exchange(state.failures, {});
    for (const size_t t : index_) state.failures.push_back(failures_[t]);
    step.batch = items_;
    prepare_attention(step);
  }
  ~WantedOnly() {
    for (size_t i = 0; i < index_.size(); ++i) {
      failures_[index_[i]] = std::move(step_.state.failures[i]);
    }
    step_.state.failures = std::move(failures_);
    step_.batch = all_;
  }
  WantedOnly(const WantedOnly&) = delete;
  WantedOnly& operator=(const WantedOnly&) = delete;

 private:
  // rows: (T, width)
  void move_up(AlignedBuffer<float>& rows, int64_t width) {
    for (size_t i = 0; i < index_.size(); ++i) {
      const auto from = static_cast<int64_t>(index_[i]), to = static_cast<int64_t>(i);
      if (from != to) std::copy_n(rows.data() + from * width, width, rows.data() + to * width);
    }
  }

  Step& step_;
  const std::span<const BatchItem> all_;
  std::vector<BatchItem> items_;
  std::vector<size_t> index_;  // of the items among all
  std::vector<std::optional<Error>> failures_;
};

// What every token uses of the layer, or, with -1, of no layer: it may be on its way still.
void await_weights(Step& s, int64_t layer) {
  if (s.loader != nullptr) s.loader->await_layer(layer, s.stop);
}

}  // namespace

std::span<const float> forward(const Decoder& decoder, Step& step) {
  step.state.stats.tokens += static_cast<uint64_t>(step.tokens());
  ++step.state.stats.passes;
  step.state.failures.assign(step.batch.size(), std::nullopt);
  await_weights(step, -1);
  decoder.begin(step);
  observe(step, "embed", -1);
  prepare_attention(step);
  std::optional<WantedOnly> wanted;
  const int64_t without_kv = first_without_kv(step.config);
  for (int64_t l = 0; l < step.config.layers; ++l) {
    if (l == without_kv && !step.observer) wanted.emplace(step);
    if (step.batch.empty()) return {};
    await_weights(step, l);
    decoder.layer(step, l);
    observe(step, "layer", l);
  }
  decoder.end(step);
  return lm_head(step);
}

}  // namespace st
