// Keys and values of the tokens seen so far, for every layer and sequence.
//
// Global layers keep every position; sliding layers keep a ring that is just long enough for the
// window plus one batch. Memory is reserved at once but costs nothing until a position is stored.
#pragma once

#include <cstdint>
#include <vector>

#include "base/memory.h"
#include "kernels/kernels.h"
#include "model/config.h"
#include "tensor/dtype.h"

namespace st {

class KvCache {
 public:
  // `type` is F16 or F32. A sequence holds up to `context` positions; a forward pass has at most
  // `max_batch` tokens.
  KvCache(const ModelConfig& config, DType type, int64_t sequences, int64_t context,
          int64_t max_batch);

  DType type() const { return type_; }
  int64_t sequences() const { return sequences_; }
  int64_t context() const { return context_; }
  uint64_t reserved_bytes() const { return memory_.size(); }
  // Memory that is in use once each sequence has stored so many positions.
  uint64_t bytes(int64_t positions) const;

  // k, v: (K * d), the token's keys (rotated already) and values.
  void store(const KernelTable& kernels, int64_t layer, int64_t sequence, int64_t position,
             const float* k, const float* v);

  // Positions [begin, begin + count) that lie back to back: k and v are (count, d) of one head.
  struct Run {
    const std::byte* k;
    const std::byte* v;
    int64_t count;
  };
  // The longest run from `begin` on that ends at `end` or where the ring wraps.
  Run run(int64_t layer, int64_t sequence, int64_t head, int64_t begin, int64_t end) const;

 private:
  struct LayerPlace {
    int64_t capacity;  // positions per sequence
    uint64_t k, v;     // offsets of (sequences, K, capacity, d) into memory_
  };
  uint64_t slot(const LayerPlace& place, int64_t sequence, int64_t head, int64_t position) const;

  DType type_;
  int64_t sequences_, context_, kv_heads_, head_dim_;
  std::vector<LayerPlace> layers_;
  MemoryRegion memory_;
};

}  // namespace st
