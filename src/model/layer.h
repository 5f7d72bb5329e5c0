// Weights of a decoder, every member with its shape. Views into a WeightStore.
#pragma once

#include <vector>

#include "tensor/matrix.h"
#include "weights/expert_layer.h"
#include "weights/weight_store.h"

namespace st {

// D hidden, H query heads, K key/value heads, d head dim, E experts, F expert width, V vocabulary.
struct Layer {
  const float* attn_norm = nullptr;  // (D)
  Matrix wq;                         // (H * d, D)
  Matrix wk;                         // (K * d, D)
  Matrix wv;                         // (K * d, D)
  Matrix wo;                         // (D, H * d)
  const float* ffn_norm = nullptr;   // (D)
  Matrix router;                     // (E, D)
  // gate, up and down of the experts come from the ExpertStore of the step.
};

struct Weights {
  MatrixRows embedding;                // (V, D)
  std::vector<Layer> layers;           // (L)
  std::vector<ExpertLayer> experts;    // (L), for an ExpertStore
  const float* output_norm = nullptr;  // (D)
  Matrix output;                       // (V, D); the embedding again when tied
  // Predictor of the vocabulary rows worth computing, both empty if the file has none.
  Matrix predictor_down;  // (R, D)
  Matrix predictor_up;    // (V, R)
};

}  // namespace st
