// Grouped-query attention over the KV cache.
#pragma once

#include <cstdint>

namespace st {

struct Step;

// Most queries and tokens that are computed together; sets the size of scratch.
inline constexpr int64_t kAttentionQueries = 96;
inline constexpr int64_t kAttentionTokens = 16;

// What all layers share: rotation angles of the batch's positions, position * theta^(-2i/d) for
// i = 0 .. d/2 - 1, and the blocks of tokens.
void prepare_attention(Step& step);

// x += Wo softmax(q k^T / sqrt(d) + mask) v with q, k, v from state.h; stores k and v in the cache.
// RoPE and window as the configuration says for layer `l`.
void attention(Step& step, int64_t l);

}  // namespace st
