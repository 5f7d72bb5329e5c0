#include "model/kv_cache.h"

#include <algorithm>

namespace st {

KvCache::KvCache(const ModelConfig& config, KvType type, int64_t sequences, int64_t context,
                 int64_t max_batch)
    : tile_{type, config.head_dim}, sequences_(sequences), kv_heads_(config.kv_heads) {
  // The first token of a batch still sees window - 1 positions before it when the last is stored:
  // so many positions, wherever they begin, are in at most so many tiles.
  const int64_t span = config.window + max_batch - 1;
  const int64_t all = (context + kTileKeys - 1) / kTileKeys;
  uint64_t bytes = 0;
  for (const bool sliding : config.sliding) {
    const int64_t tiles = sliding ? std::min(all, (span - 2 + kTileKeys) / kTileKeys + 1) : all;
    layers_.push_back({tiles, bytes});
    bytes += static_cast<uint64_t>(sequences * kv_heads_ * tiles * tile_.bytes());
  }
  memory_ = MemoryRegion(bytes);
}

uint64_t KvCache::bytes(int64_t positions) const {
  constexpr uint64_t kPage = 4096;
  const auto heads = static_cast<uint64_t>(sequences_ * kv_heads_);
  uint64_t bytes = 0;
  for (const LayerPlace& place : layers_) {
    const int64_t tiles = std::min((positions + kTileKeys - 1) / kTileKeys, place.tiles);
    bytes += static_cast<uint64_t>(tiles * tile_.bytes()) + kPage;
  }
  return heads * bytes;
}

void KvCache::store(const KernelTable& kernels, int64_t layer, int64_t sequence, int64_t position,
                    const float* k, const float* v) {
  for (int64_t head = 0; head < kv_heads_; ++head) {
    const Ring to = ring(layer, sequence, head);
    const int64_t i = position / kTileKeys % to.count;
    kernels.store_kv(tile_, k + head * tile_.head_dim, v + head * tile_.head_dim,
                     position % kTileKeys, to.tiles + i * tile_.bytes());
  }
}

KvCache::Ring KvCache::ring(int64_t layer, int64_t sequence, int64_t head) const {
  const LayerPlace& place = layers_[static_cast<size_t>(layer)];
  const int64_t first = (sequence * kv_heads_ + head) * place.tiles;
  return {memory_.data() + place.offset + static_cast<uint64_t>(first * tile_.bytes()),
          place.tiles};
}

}  // namespace st
