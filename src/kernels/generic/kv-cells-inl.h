// The element types of a KV tile, how rows are rounded to them and stored.
//
// Integers are 15 bits and a sign at most, and their scales are chosen so that no sum of products
// exceeds 31 bits. So sums are exact, in any order.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstddef>

#include "tensor/kv_tile.h"

namespace st {
namespace {

// |q . k| <= |q| |k| < 2^31: a row's length is at most this, rounding (sqrt(d) / 2) included.
constexpr float kMostLength = 46000;
constexpr float kRange16 = 32767;

// Operands are what cells are multiplied with: of queries, or weights of values.
struct FloatCells {
  static constexpr KvType kType = KvType::kF32;
  static constexpr int kValues = 1;
  static constexpr int kBytes = 4;
  using Value = float;
  using Operand = float;
  using Vec = VecF;
  using Sum = VecF;
  ST_INLINE static Vec load(const std::byte* p) {
    return st::load(reinterpret_cast<const float*>(p));
  }
  ST_INLINE static Vec splat(const float* p) { return st::splat(*p); }
  ST_INLINE static Sum dot(Sum s, Vec a, Vec b) { return fma(a, b, s); }
};

struct PairCells {
  static constexpr int kValues = 2;
  using Operand = int32_t;  // two of 16 bits
  using Vec = VecI;
  using Sum = VecI;
  ST_INLINE static Vec splat(const int32_t* p) { return (VecI)splat_quad(p); }
  ST_INLINE static Sum dot(Sum s, Vec a, Vec b) { return dot2(s, (Bytes)a, (Bytes)b); }
};

struct Cells16 : PairCells {
  static constexpr KvType kType = KvType::kI16;
  static constexpr int kBytes = 4;
  // Values times weights stay below 2^31, as the sum of a tile's weights stays below kMostWeight.
  static constexpr float kKeyRange = kRange16;
  static constexpr float kValueRange = 8191;
  static constexpr float kMostWeight = 262000;
  using Value = int16_t;
  ST_INLINE static Vec load(const std::byte* p) {
    return st::load(reinterpret_cast<const int32_t*>(p));
  }
};

struct Cells8 : PairCells {
  static constexpr KvType kType = KvType::kI8;
  static constexpr int kBytes = 2;
  static constexpr float kKeyRange = 127;
  static constexpr float kValueRange = 127;
  static constexpr float kMostWeight = kTileKeys * kRange16;  // no bound
  using Value = int8_t;
  ST_INLINE static Vec load(const std::byte* p) { return (VecI)widen_i8(p); }
};

// The nearest integers, ties to even. REQUIRES: |v| < 2^22.
ST_INLINE VecI round_even(VecF v) { return (VecI)(v + splat(0x1.8p23f)) - 0x4B400000; }

// A row's scale: integers are x * inverse, and stand for that times unit. All integers are 0 where
// 1 / unit is not finite; an infinity or a NaN then shows in unit.
struct RowScale {
  float unit, inverse;
};

// Integers up to `range`, of a row at most `length` long.
RowScale row_scale(const float* x, int64_t n, float range, float length) {
  VecI peaks = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    const VecF v = load(x + i, n - i < kLanes ? n - i : kLanes);
    peaks = max(peaks, (VecI)v & INT32_MAX);  // as integers: a NaN is the largest
  }
  const float peak = __builtin_bit_cast(float, max_lane(peaks));
  const float one_over = 1.0f / peak;
  VecF squares = {};  // of x / peak: cannot overflow
  for (int64_t i = 0; i < n; i += kLanes) {
    const VecF v = load(x + i, n - i < kLanes ? n - i : kLanes) * splat(one_over);
    squares = fma(v, v, squares);
  }
  const float by_length = std::sqrt(sum(squares)) / length;
  const float step = by_length > 1 / range ? by_length : 1 / range;
  const float inverse = one_over / step;
  if (inverse > 0 && inverse <= FLT_MAX) return {peak * step, inverse};
  return {peak, 0};
}

// As integers; none of an infinity or a NaN.
ST_INLINE VecI round_integers(VecF v, float inverse) {
  return inverse > 0 ? round_even(v * splat(inverse)) : VecI{};
}

// x[i], 0 <= i < n, go to place(i) of `to`.
template <typename T, typename Place>
ST_INLINE void store_row(const float* x, int64_t n, float inverse, std::byte* to, Place place) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t count = n - i < kLanes ? n - i : kLanes;
    const VecF v = load(x + i, count);
    typename T::Value values[kLanes];
    if constexpr (T::kType == KvType::kF32) {
      store(values, v);
    } else {
      const VecI rounded = round_integers(v, inverse);
      for (int j = 0; j < kLanes; ++j) values[j] = static_cast<typename T::Value>(rounded[j]);
    }
    for (int64_t j = 0; j < count; ++j) {
      __builtin_memcpy(to + place(i + j), values + j, sizeof(values[j]));
    }
  }
}

template <typename T>
void store_cells(const KvTile& tile, const float* k, const float* v, int64_t slot, std::byte* to) {
  const int64_t d = tile.head_dim;
  RowScale key = {1, 1}, value = {1, 1};
  if constexpr (T::kType != KvType::kF32) {
    key = row_scale(k, d, T::kKeyRange, kMostLength);
    value = row_scale(v, d, T::kValueRange, FLT_MAX);
  }
  const KvTile shape{T::kType, d};  // the type is known when this is compiled
  store_row<T>(k, d, key.inverse, to, [&](int64_t c) { return shape.key_at(slot, c); });
  store_row<T>(v, d, value.inverse, to, [&](int64_t c) { return shape.value_at(slot, c); });
  __builtin_memcpy(to + KvTile::key_scales() + slot * 4, &key.unit, 4);
  __builtin_memcpy(to + KvTile::value_scales() + slot * 4, &value.unit, 4);
}

void store_kv(const KvTile& tile, const float* k, const float* v, int64_t slot, std::byte* to) {
  switch (tile.type) {
    case KvType::kF32:
      return store_cells<FloatCells>(tile, k, v, slot, to);
    case KvType::kI16:
      return store_cells<Cells16>(tile, k, v, slot, to);
    case KvType::kI8:
      return store_cells<Cells8>(tile, k, v, slot, to);
  }
}

}  // namespace
}  // namespace st
