#include "model/state.h"

#include <algorithm>

#include "model/attention.h"

namespace st {
namespace {

AlignedBuffer<float> floats(int64_t count) {
  return AlignedBuffer<float>(static_cast<size_t>(count));
}

}  // namespace

State::State(const ModelConfig& c, int64_t T, int threads)
    : x(floats(T * c.hidden)),
      h(floats(T * c.hidden)),
      q(floats(T * c.q_width())),
      k(floats(T * c.kv_width())),
      v(floats(T * c.kv_width())),
      a(floats(T * c.q_width())),
      o(floats(T * c.hidden)),
      scratch(floats(threads * attention_scratch(kAttentionQueries, c.head_dim))),
      cos(floats(T * c.head_dim / 2)),
      sin(floats(T * c.head_dim / 2)),
      router(floats(T * c.experts)),
      pair_in(floats(T * c.experts_used * c.hidden)),
      gate(floats(T * c.experts_used * c.ffn)),
      up(floats(T * c.experts_used * c.ffn)),
      down(floats(T * c.experts_used * c.hidden)),
      q8(T, std::max(c.hidden, c.q_width())),
      pair_q8(T * c.experts_used, c.hidden, std::min(c.experts, T * c.experts_used)),
      vocab_(c.vocab),
      max_tokens_(T) {}

uint64_t State::bytes_per_token(const ModelConfig& c) {
  const int64_t values = 3 * c.hidden + 2 * c.q_width() + 2 * c.kv_width() + c.head_dim +
                         c.experts + 2 * c.experts_used * (c.hidden + c.ffn);
  const int64_t quants = 2 * (std::max(c.hidden, c.q_width()) + c.experts_used * c.hidden);
  return static_cast<uint64_t>(4 * values + quants + quants / 4);
}

float* State::head_scores() {
  if (head_scores_.size() == 0) head_scores_ = floats(vocab_);
  return head_scores_.data();
}

float* State::logits(int64_t rows) {
  const auto need = static_cast<size_t>(rows * vocab_);
  if (logits_.size() < need) logits_ = AlignedBuffer<float>(need);
  return logits_.data();
}

}  // namespace st
