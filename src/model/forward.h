// The page to read first: how a token becomes logits.
#pragma once

#include <span>

#include "model/decoder.h"
#include "model/step.h"

namespace st {

// Runs the batch; layers that store no keys and values, at the end, only for tokens whose logits
// are wanted. Returns the logits (rows, V) of the items that want them, in batch order; valid until
// the next pass; empty if they went to a sink. REQUIRES: 1 <= T <= the state's and cache's limits,
// tokens and positions in range. Throws what ExpertStore::await throws, and Error(kCancelled) once
// its stop is requested; the cache entries of the batch are then undefined.
std::span<const float> forward(const Decoder& decoder, Step& step);

}  // namespace st
