#include "model/state.h"

#include <algorithm>

#include "model/attention.h"

namespace st {
namespace {

AlignedBuffer<float> floats(int64_t count) {
  return AlignedBuffer<float>(static_cast<size_t>(count));
}

// The buffers of floats and how many of them a token has: what is made, and what is planned.
struct Floats {
  AlignedBuffer<float> State::* buffer;
  int64_t per_token;
};
std::vector<Floats> all_floats(const ModelConfig& c) {
  const int64_t D = c.hidden, F = c.ffn, k = c.experts_used;
  return {{&State::x, D},
          {&State::h, D},
          {&State::q, c.q_width()},
          {&State::k, c.kv_width()},
          {&State::v, c.kv_width()},
          {&State::a, c.q_width()},
          {&State::o, D},
          {&State::router, c.experts},
          {&State::pair_in, k * D},
          {&State::gate, k * F},
          {&State::up, k * F},
          {&State::down, k * D}};
}

// Each once, without that of layers that do not rotate.
std::vector<Rope> ropes(const ModelConfig& c) {
  std::vector<Rope> all;
  for (const LayerConfig& layer : c.layer) {
    if (layer.rope.theta > 0 && std::ranges::find(all, layer.rope) == all.end()) {
      all.push_back(layer.rope);
    }
  }
  return all;
}

// Columns of the widest input of a projection.
int64_t widest(const ModelConfig& c) { return std::max(c.hidden, c.q_width()); }

// Floats that each thread has for itself.
int64_t per_thread(const ModelConfig& c) {
  return attention_scratch(kAttentionQueries, c.head_dim);
}

constexpr auto kFloatBytes = static_cast<int64_t>(sizeof(float));

}  // namespace

State::State(const ModelConfig& c, int64_t T, int threads)
    : scratch(floats(threads * per_thread(c))),
      q8(T, widest(c)),
      pair_q8(T * c.experts_used, c.hidden, std::min(c.experts, T * c.experts_used)),
      vocab_(c.vocab),
      max_tokens_(T) {
  for (const auto& [buffer, per_token] : all_floats(c)) this->*buffer = floats(T * per_token);
  const int64_t angles = T * (c.head_dim / 2);
  for (const Rope& rope : ropes(c)) rotations.push_back({rope, floats(angles), floats(angles)});
}

uint64_t State::bytes_per_token(const ModelConfig& c) {
  int64_t values = std::ssize(ropes(c)) * (c.head_dim / 2) * 2;
  for (const Floats& f : all_floats(c)) values += f.per_token;
  return static_cast<uint64_t>(kFloatBytes * values) + Q8Buffer::bytes(1, widest(c), 0) +
         Q8Buffer::bytes(c.experts_used, c.hidden, 0);
}

uint64_t State::fixed_bytes(const ModelConfig& c, int threads) {
  return static_cast<uint64_t>(kFloatBytes * threads * per_thread(c)) +
         Q8Buffer::bytes(0, widest(c), 1) + Q8Buffer::bytes(0, c.hidden, c.experts);
}

uint64_t State::bytes() const {
  uint64_t values = scratch.size();
  for (const Floats& f : all_floats({})) values += (this->*f.buffer).size();
  for (const Rotation& r : rotations) values += r.cos.size() + r.sin.size();
  return values * sizeof(float) + q8.bytes() + pair_q8.bytes();
}

const Rotation* State::rotation(const Rope& rope) const {
  const auto found = std::ranges::find(rotations, rope, &Rotation::rope);
  return found == rotations.end() ? nullptr : &*found;
}

std::span<float> State::logits(int64_t rows) {
  const auto need = static_cast<size_t>(rows * vocab_);
  if (logits_.size() < need) logits_ = AlignedBuffer<float>(need);
  return logits_.span().first(need);
}

}  // namespace st
