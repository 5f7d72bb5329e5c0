// Scratch of a forward pass ("RunState"), sized for the largest batch; within a budget it is made
// anew for a longer one and after it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/aligned.h"
#include "base/error.h"
#include "model/config.h"
#include "model/linear.h"
#include "model/lm_head.h"
#include "model/stats.h"

namespace st {

// Which expert works on which token, grouped so that each expert's weights are read once. A pair is
// one (token, slot): slot j of token t is its j-th best expert.
struct ExpertPlan {
  std::vector<int32_t> chosen;   // (T, k) expert of each slot, best first
  std::vector<float> weights;    // (T, k) routing weight
  std::vector<int32_t> experts;  // the distinct experts, ascending
  std::vector<int64_t> begin;    // (experts + 1): pairs of experts[i] are begin[i] .. begin[i + 1]
  std::vector<int32_t> token;    // (T * k) token of each pair, in pair order
  std::vector<int32_t> pair;     // (T, k) pair of each slot
};

// Tokens first .. first + tokens - 1 of the batch: neighbours in one sequence.
struct TokenBlock {
  int64_t first;
  int64_t tokens;
};

// The angles of the batch's positions on layers of the same base.
struct Rotation {
  Rope rope;
  AlignedBuffer<float> cos, sin;  // (T, d / 2)
};

// What a thread has for itself in the feed-forward network of an expert. F: its width.
struct NeuronScratch {
  explicit NeuronScratch(int64_t F);
  uint64_t bytes() const;

  // Neurons that are not 0, and their values; kernels write up to a vector beyond.  (F + 16)
  AlignedBuffer<int32_t> index;
  AlignedBuffer<float> values;
  AlignedBuffer<float> up;        // (F) of those
  AlignedBuffer<uint8_t> needed;  // (F) neurons that some token needs
};

// T: largest batch. Dimensions as in ModelConfig; E, k and F are the largest of any layer.
struct State {
  State(const ModelConfig& config, int64_t max_tokens, int threads);

  AlignedBuffer<float> x;         // (T, D) residual stream
  AlignedBuffer<float> h;         // (T, D) normalised input of a block
  AlignedBuffer<float> q;         // (T, H * d)
  AlignedBuffer<float> k, v;      // (T, K * d)
  AlignedBuffer<float> a;         // (T, H * d) attention output, heads side by side
  AlignedBuffer<float> o;         // (T, D) output of a projection
  AlignedBuffer<float> router;    // (T, E)
  AlignedBuffer<float> pair_in;   // (T * k, D) inputs of the experts, where weights are floats
  AlignedBuffer<float> gate, up;  // (T * k, F)
  AlignedBuffer<float> down;      // (T * k, D)
  AlignedBuffer<float> scratch;   // (threads, attention_scratch)
  // Each (T, ModelConfig::extra[i]).
  std::vector<AlignedBuffer<float>> extra;
  std::vector<Rotation> rotations;     // one for each base that some layer has
  std::vector<NeuronScratch> neurons;  // (threads)
  std::vector<TokenBlock> blocks;
  // (T) why what is computed for a token is of no use; that of the others is.
  std::vector<std::optional<Error>> failures;
  ExpertPlan plan;
  Stats stats;
  LmHeadAgreement agreement;
  Q8Buffer q8;       // the input of the current projection
  Q8Buffer pair_q8;  // (T * k, D) the same for the experts, or (T * k, F) for their down matrices

  // What a state for T tokens takes at most, but for logits and scores: fixed_bytes and T times
  // bytes_per_token; and what this one has taken.
  static uint64_t bytes_per_token(const ModelConfig& config);
  static uint64_t fixed_bytes(const ModelConfig& config, int threads);
  uint64_t bytes() const;
  int64_t max_tokens() const { return max_tokens_; }

  // Null for a layer that does not rotate.
  const Rotation* rotation(const Rope& rope) const;

  // (rows, V); grows to the largest number of rows asked for.
  std::span<float> logits(int64_t rows);
  // Those of another state, whose reader may not be done with them.
  void take_logits(State& other) { logits_ = std::move(other.logits_); }
  int64_t logits_rows() const { return static_cast<int64_t>(logits_.size()) / vocab_; }  // it has
  void drop_logits() { logits_ = {}; }

 private:
  int64_t vocab_;
  int64_t max_tokens_;
  AlignedBuffer<float> logits_;
};

}  // namespace st
