// Grouped-query attention over the KV cache.
#pragma once

#include <cstdint>

namespace st {

struct Step;

// Rotation angles of the batch's positions: position * theta^(-2i/d), i = 0 .. d/2 - 1.
void prepare_rope(Step& step);

// x += Wo softmax(q k^T / sqrt(d) + mask) v with q, k, v from state.h; stores k and v in the cache.
// RoPE and window as the configuration says for layer `l`.
void attention(Step& step, int64_t l);

}  // namespace st
