// The KV cache and attention for scalar.cc: rounding as the other tables do it, and then plain sums
// in double precision.

#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "kernels/kernels.h"

namespace st {
namespace {

constexpr double kMostLength = 46000;  // products of two rows stay below 2^31

// Integers up to `range`, of a row at most `most` long.
template <typename Value>
float store_scaled(const float* x, int64_t n, double range, double most, std::byte* to,
                   auto place) {
  double peak = 0, length = 0;
  for (int64_t c = 0; c < n; ++c) {
    if (std::fabs(x[c]) > peak || std::isnan(x[c])) peak = std::fabs(x[c]);  // a NaN stays
    length += double{x[c]} * x[c];
  }
  const double by_length = std::sqrt(length) / most;
  const double unit = by_length > peak / range ? by_length : peak / range;
  const bool usable = peak >= FLT_MIN && peak <= FLT_MAX;
  for (int64_t c = 0; c < n; ++c) {
    const Value q = usable ? static_cast<Value>(std::nearbyint(x[c] / unit)) : Value{0};
    std::memcpy(to + place(c), &q, sizeof(q));
  }
  return static_cast<float>(usable ? unit : peak);
}

void store_kv(const KvTile& tile, const float* k, const float* v, int64_t slot, std::byte* to) {
  const auto key = [&](int64_t c) { return tile.key_at(slot, c); };
  const auto value = [&](int64_t c) { return tile.value_at(slot, c); };
  const int64_t d = tile.head_dim;
  float units[2] = {1, 1};
  if (tile.type == KvType::kF32) {
    for (int64_t c = 0; c < d; ++c) {
      std::memcpy(to + key(c), k + c, sizeof(float));
      std::memcpy(to + value(c), v + c, sizeof(float));
    }
  } else if (tile.type == KvType::kI16) {
    units[0] = store_scaled<int16_t>(k, d, 32767, kMostLength, to, key);
    units[1] = store_scaled<int16_t>(v, d, 8191, DBL_MAX, to, value);
  } else {
    units[0] = store_scaled<int8_t>(k, d, 127, kMostLength, to, key);
    units[1] = store_scaled<int8_t>(v, d, 127, DBL_MAX, to, value);
  }
  std::memcpy(to + KvTile::key_scales() + slot * 4, &units[0], 4);
  std::memcpy(to + KvTile::value_scales() + slot * 4, &units[1], 4);
}

// The number at `place`, but for its scale.
double stored(KvType type, const std::byte* place) {
  if (type == KvType::kI8) return static_cast<int8_t>(*place);
  if (type == KvType::kF32) {
    float value;
    std::memcpy(&value, place, sizeof(value));
    return double{value};
  }
  int16_t value;
  std::memcpy(&value, place, sizeof(value));
  return value;
}

// One query; sums: (d) of scratch.
void attend_one(const AttentionBlock& b, int64_t position, const float* q, float* sums,
                float* out) {
  const int64_t d = b.tile.head_dim;
  double top = -DBL_MAX, total = 0;
  for (int64_t c = 0; c < d; ++c) sums[c] = 0;
  for (int64_t p = position < b.window ? 0 : position - b.window + 1; p <= position; ++p) {
    const std::byte* tile = b.tiles.tile(tile_index(p));
    const int64_t slot = slot_index(p);
    float scales[2];
    std::memcpy(&scales[0], tile + KvTile::key_scales() + slot * 4, 4);
    std::memcpy(&scales[1], tile + KvTile::value_scales() + slot * 4, 4);
    double dot = 0;
    for (int64_t c = 0; c < d; ++c)
      dot += q[c] * stored(b.tile.type, tile + b.tile.key_at(slot, c));
    const double score = dot * scales[0] / b.divisor;
    const double new_top = score > top ? score : top;
    const double shrink = std::exp(top - new_top), weight = std::exp(score - new_top);
    top = new_top;
    total = total * shrink + weight;
    for (int64_t c = 0; c < d; ++c) {
      const double value = scales[1] * stored(b.tile.type, tile + b.tile.value_at(slot, c));
      sums[c] = static_cast<float>(sums[c] * shrink + weight * value);
    }
  }
  for (int64_t c = 0; c < d; ++c) out[c] = static_cast<float>(sums[c] / total);
}

void attend(const AttentionBlock& b, float* scratch) {
  for (int64_t t = 0; t < b.tokens; ++t) {
    for (int64_t g = 0; g < b.group; ++g) {
      const int64_t at = t * b.stride + g * b.tile.head_dim;
      attend_one(b, b.position + t, b.q + at, scratch, b.out + at);
    }
  }
}

}  // namespace
}  // namespace st
