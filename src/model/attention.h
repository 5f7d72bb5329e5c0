// Grouped-query attention over the KV cache.
#pragma once

#include <cstdint>

#include "model/step.h"

namespace st {

// Most queries and tokens that are computed together; sets the size of scratch.
inline constexpr int64_t kAttentionQueries = 96;
inline constexpr int64_t kAttentionTokens = 16;

// What all layers share: the blocks of tokens, and the angles by which each base rotates the
// batch's positions, position / factor * theta^(-2i/d) for i = 0 .. d/2 - 1.
void prepare_attention(Step& step);

// out = Wo softmax(q k^T * scale + mask) v with q, k, v = Wq in, Wk in, Wv in; heads normalised
// first, then q and k rotated and keys seen as the configuration says. Stores k and v in the cache,
// or reads those of the layer that the configuration names.
// in, out: (T, D)
void attention(Step& step, const AttentionWeights& weights, int64_t l, const float* in, float* out);

}  // namespace st
