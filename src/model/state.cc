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
  const int64_t D = c.hidden, F = c.widest_ffn(), k = c.most_used();
  return {{&State::x, D},
          {&State::h, D},
          {&State::q, c.q_width()},
          {&State::k, c.kv_width()},
          {&State::v, c.kv_width()},
          {&State::a, c.q_width()},
          {&State::o, D},
          {&State::router, c.most_experts()},
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
int64_t widest(const ModelConfig& c) { return std::max({c.hidden, c.q_width(), c.extra_input}); }

// The same of an expert's matrix.
int64_t widest_of_expert(const ModelConfig& c) { return std::max(c.hidden, c.widest_ffn()); }

// Floats of attention_scratch that each thread has for itself.
int64_t scratch_floats(const ModelConfig& c) {
  return attention_scratch(kAttentionQueries, c.head_dim);
}

constexpr auto kFloatBytes = static_cast<int64_t>(sizeof(float));

constexpr size_t kPastNeurons = 16;

}  // namespace

NeuronScratch::NeuronScratch(int64_t F)
    : index(static_cast<size_t>(F) + kPastNeurons),
      values(index.size()),
      up(static_cast<size_t>(F)),
      needed(up.size()) {}

uint64_t NeuronScratch::bytes() const {
  return 4 * (index.size() + values.size() + up.size()) + needed.size();
}

State::State(const ModelConfig& c, int64_t T, int threads)
    : scratch(floats(threads * scratch_floats(c))),
      q8(T, widest(c)),
      pair_q8(T * c.most_used(), widest_of_expert(c),
              std::min(c.most_experts(), T * c.most_used())),
      vocab_(c.vocab),
      max_tokens_(T) {
  for (const auto& [buffer, per_token] : all_floats(c)) this->*buffer = floats(T * per_token);
  for (const int64_t per_token : c.extra) extra.push_back(floats(T * per_token));
  const int64_t angles = T * (c.head_dim / 2);
  for (const Rope& rope : ropes(c)) rotations.push_back({rope, floats(angles), floats(angles)});
  for (int i = 0; i < threads; ++i) neurons.emplace_back(c.widest_ffn());
}

uint64_t State::bytes_per_token(const ModelConfig& c) {
  int64_t values = std::ssize(ropes(c)) * (c.head_dim / 2) * 2;
  for (const Floats& f : all_floats(c)) values += f.per_token;
  for (const int64_t per_token : c.extra) values += per_token;
  return static_cast<uint64_t>(kFloatBytes * values) + Q8Buffer::bytes(1, widest(c), 0) +
         Q8Buffer::bytes(c.most_used(), widest_of_expert(c), 0);
}

uint64_t State::fixed_bytes(const ModelConfig& c, int threads) {
  const uint64_t per_thread = static_cast<uint64_t>(kFloatBytes * scratch_floats(c)) +
                              NeuronScratch(c.widest_ffn()).bytes();
  return static_cast<uint64_t>(threads) * per_thread + Q8Buffer::bytes(0, widest(c), 1) +
         Q8Buffer::bytes(0, widest_of_expert(c), c.most_experts());
}

uint64_t State::bytes() const {
  uint64_t values = scratch.size();
  for (const Floats& f : all_floats({})) values += (this->*f.buffer).size();
  for (const auto& buffer : extra) values += buffer.size();
  for (const Rotation& r : rotations) values += r.cos.size() + r.sin.size();
  uint64_t bytes = values * sizeof(float) + q8.bytes() + pair_q8.bytes();
  for (const NeuronScratch& n : neurons) bytes += n.bytes();
  return bytes;
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
