// A model ready to compute: the weights that every family has, and its layers, which only the
// family's file in arch/ knows.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/matrix.h"
#include "weights/expert_layer.h"
#include "weights/weight_store.h"

namespace st {

struct Step;

// D hidden, H query heads, K key/value heads, d head dim, E experts, F expert width, V vocabulary.
struct AttentionWeights {
  Matrix wq;                      // (H * d, D)
  Matrix wk;                      // (K * d, D); without data where another layer's keys and
  Matrix wv;                      // (K * d, D)  values are read
  Matrix wo;                      // (D, H * d)
  const float* q_norm = nullptr;  // (d) of each head, before it rotates; null: none
  const float* k_norm = nullptr;  // (d)
};

// Views into a WeightStore.
struct Weights {
  MatrixRows embedding;                // (V, D)
  MatrixRows token_rows;               // by token, always in the file; without name: none
  std::vector<ExpertLayer> experts;    // (L), for an ExpertStore
  const float* output_norm = nullptr;  // (D)
  Matrix output;                       // (V, D); the embedding again when tied
  // Predictor of the vocabulary rows worth computing, both empty if the file has none.
  Matrix predictor_down;  // (R, D)
  Matrix predictor_up;    // (V, R)
};

class Decoder {
 public:
  explicit Decoder(Weights weights) : weights_(std::move(weights)) {}
  virtual ~Decoder() = default;

  const Weights& weights() const { return weights_; }

  // Before the layers: what of the batch's tokens they work on. Here: rows of the embedding to x.
  virtual void begin(Step& step) const;

  // Runs layer `l` on the residual stream x of the step's state.
  virtual void layer(Step& step, int64_t l) const = 0;

  // After the layers, for tokens whose logits are wanted: makes x what the head normalises. Here:
  // nothing.
  virtual void end(Step& step) const;

 private:
  Weights weights_;
};

}  // namespace st
