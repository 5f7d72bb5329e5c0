#include "model/kv_cache.h"

#include <algorithm>
#include <cstring>

namespace st {

KvCache::KvCache(const ModelConfig& config, DType type, int64_t sequences, int64_t context,
                 int64_t max_batch)
    : type_(type),
      sequences_(sequences),
      context_(context),
      kv_heads_(config.kv_heads),
      head_dim_(config.head_dim) {
  uint64_t bytes = 0;
  const uint64_t row = row_bytes(type, static_cast<uint64_t>(head_dim_));
  for (const bool sliding : config.sliding) {
    // The first token of a batch still sees window - 1 positions before it when the last is stored.
    const int64_t ring = config.window + max_batch - 1;
    const int64_t capacity = sliding ? std::min(context, ring) : context;
    const uint64_t half = static_cast<uint64_t>(sequences * kv_heads_ * capacity) * row;
    layers_.push_back({capacity, bytes, bytes + half});
    bytes += 2 * half;
  }
  memory_ = MemoryRegion(bytes);
}

uint64_t KvCache::bytes(int64_t positions) const {
  constexpr uint64_t kPage = 4096;
  const uint64_t row = row_bytes(type_, static_cast<uint64_t>(head_dim_));
  uint64_t bytes = 0;
  for (const LayerPlace& place : layers_) {
    bytes += static_cast<uint64_t>(std::min(positions, place.capacity)) * row + kPage;
  }
  return 2 * static_cast<uint64_t>(sequences_ * kv_heads_) * bytes;
}

uint64_t KvCache::slot(const LayerPlace& place, int64_t sequence, int64_t head,
                       int64_t position) const {
  const int64_t index = (sequence * kv_heads_ + head) * place.capacity + position % place.capacity;
  return static_cast<uint64_t>(index) * row_bytes(type_, static_cast<uint64_t>(head_dim_));
}

void KvCache::store(const KernelTable& kernels, int64_t layer, int64_t sequence, int64_t position,
                    const float* k, const float* v) {
  const LayerPlace& place = layers_[static_cast<size_t>(layer)];
  const auto put = [&](std::byte* to, const float* from) {
    if (type_ == DType::kF16) {
      kernels.f32_to_f16(from, head_dim_, reinterpret_cast<uint16_t*>(to));
    } else {
      std::memcpy(to, from, static_cast<size_t>(head_dim_) * sizeof(float));
    }
  };
  for (int64_t head = 0; head < kv_heads_; ++head) {
    const uint64_t at = slot(place, sequence, head, position);
    put(memory_.data() + place.k + at, k + head * head_dim_);
    put(memory_.data() + place.v + at, v + head * head_dim_);
  }
}

KvCache::Run KvCache::run(int64_t layer, int64_t sequence, int64_t head, int64_t begin,
                          int64_t end) const {
  const LayerPlace& place = layers_[static_cast<size_t>(layer)];
  const uint64_t at = slot(place, sequence, head, begin);
  const int64_t until_wrap = place.capacity - begin % place.capacity;
  return {memory_.data() + place.k + at, memory_.data() + place.v + at,
          std::min(end - begin, until_wrap)};
}

}  // namespace st
