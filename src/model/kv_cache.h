// Keys and values of the tokens seen so far, for every layer and sequence.
//
// Global layers keep every position; sliding layers keep a ring of tiles that is just long enough
// for the window plus one batch. Memory is reserved at once but costs nothing until a position is
// stored. It is in order of positions first, all layers' tiles of the same positions side by side,
// so it fills from the front and may use huge pages: with small ones, a long context misses the TLB
// at every few tiles.
#pragma once

#include <cstdint>
#include <vector>

#include "base/memory.h"
#include "kernels/kernels.h"
#include "model/config.h"
#include "tensor/kv_tile.h"

namespace st {

class KvCache {
 public:
  // A sequence holds up to `context` positions; a forward pass has at most `max_batch` tokens.
  KvCache(const ModelConfig& config, KvType type, int64_t sequences, int64_t context,
          int64_t max_batch);

  KvType type() const { return tile_.type; }
  const KvTile& tile() const { return tile_; }
  uint64_t reserved_bytes() const { return memory_.size(); }
  // Memory that is in use once each sequence has stored so many positions.
  uint64_t bytes(int64_t positions) const;

  // The first position but 0 where a sequence may go on once it has stored the first `written`: the
  // window before a later one is there. Sliding layers keep one batch beyond it.
  int64_t first_kept(int64_t written) const;

  // k, v: (K * d), the token's keys (rotated already) and values. Different positions may be stored
  // concurrently.
  void store(const KernelTable& kernels, int64_t layer, int64_t sequence, int64_t position,
             const float* k, const float* v);

  // The tiles of one head, `stride` bytes apart: positions [128 i, 128 i + 128) are tile i % count.
  struct Ring {
    std::byte* tiles;
    int64_t count;
    int64_t stride;
  };
  Ring ring(int64_t layer, int64_t sequence, int64_t head) const;

 private:
  // Layers that keep as many positions as each other: (sequences, count, layers, K) tiles.
  struct Kind {
    int64_t layers = 0;
    int64_t count = 0;
    uint64_t offset = 0;  // in memory_
  };
  struct LayerPlace {
    bool sliding;
    int64_t index;  // among the layers of its kind
  };
  int64_t stride(const Kind& kind) const { return kind.layers * kv_heads_ * tile_.bytes(); }

  KvTile tile_;
  int64_t sequences_, kv_heads_;
  int64_t beyond_;  // positions kept beyond the window, INT64_MAX: all
  std::vector<LayerPlace> layers_;
  Kind kinds_[2];  // global and sliding layers
  MemoryRegion memory_;
};

}  // namespace st
