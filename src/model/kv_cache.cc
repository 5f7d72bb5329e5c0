#include "model/kv_cache.h"

#include <algorithm>
#include <functional>

namespace st {

KvCache::KvCache(const ModelConfig& config, KvType type, int64_t sequences, int64_t context,
                 int64_t max_batch)
    : tile_{type, config.head_dim}, sequences_(sequences), kv_heads_(config.kv_heads) {
  // The first token of a batch still sees window - 1 positions before it when the last is stored:
  // so many positions, wherever they begin, are in at most so many tiles.
  const int64_t window = std::ranges::max(config.layer, {}, &LayerConfig::window).window;
  const int64_t span = window + max_batch - 1;
  const bool slides = window > 0;
  beyond_ = slides && span < context ? max_batch : INT64_MAX;
  const int64_t all = (context + kTileKeys - 1) / kTileKeys;
  kinds_[false].count = all;
  kinds_[true].count = std::min(all, (span - 2 + kTileKeys) / kTileKeys + 1);
  for (const LayerConfig& layer : config.layer) {
    const bool sliding = layer.window > 0;
    layers_.push_back({sliding, kinds_[sliding].layers++});
  }
  uint64_t bytes = 0;
  for (Kind& kind : kinds_) {
    kind.offset = bytes;
    bytes += static_cast<uint64_t>(sequences * kind.count * stride(kind));
  }
  memory_ = MemoryRegion(bytes);
  memory_.prefer_huge_pages();
}

uint64_t KvCache::bytes(int64_t positions) const {
  constexpr int64_t kHugePage = 2 << 20;
  int64_t bytes = 0;
  for (const Kind& kind : kinds_) {
    const int64_t tiles = std::min((positions + kTileKeys - 1) / kTileKeys, kind.count);
    const int64_t used = tiles * stride(kind) + 2 * kHugePage;  // begun and ended within a page
    bytes += sequences_ * std::min(used, kind.count * stride(kind));
  }
  return static_cast<uint64_t>(bytes);
}

int64_t KvCache::first_kept(int64_t written) const {
  return std::max<int64_t>(0, written - beyond_);
}

void KvCache::store(const KernelTable& kernels, int64_t layer, int64_t sequence, int64_t position,
                    const float* k, const float* v) {
  for (int64_t head = 0; head < kv_heads_; ++head) {
    const Ring to = ring(layer, sequence, head);
    const int64_t i = position / kTileKeys % to.count;
    kernels.store_kv(tile_, k + head * tile_.head_dim, v + head * tile_.head_dim,
                     position % kTileKeys, to.tiles + i * to.stride);
  }
}

KvCache::Ring KvCache::ring(int64_t layer, int64_t sequence, int64_t head) const {
  const LayerPlace& place = layers_[static_cast<size_t>(layer)];
  const Kind& kind = kinds_[place.sliding];
  const int64_t at =
      sequence * kind.count * stride(kind) + (place.index * kv_heads_ + head) * tile_.bytes();
  return {memory_.data() + kind.offset + at, kind.count, stride(kind)};
}

}  // namespace st
