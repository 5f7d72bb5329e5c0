// Which layers stay in memory where every pass needs all of each, so that the order of need is
// known. Those that stay are read once. The others stream: each is read ahead of its turn, into
// memory that one before it has left.
#pragma once

#include <cstdint>
#include <vector>

namespace st {

// Layers that memory is kept for beside those that stay: one is used while the next is read.
inline constexpr int64_t kStreamBuffers = 2;

// (layers) whether it stays, with room for so many layers in all. Those that stream are spread over
// the layers, so that the device reads while what stays is computed, and with less room more layers
// stream beside those that do already: memory that shrinks has nothing read again.
std::vector<bool> layers_that_stay(int64_t layers, int64_t room);

}  // namespace st
