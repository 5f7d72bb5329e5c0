// What sums of columns are made of, whether a token comes alone or with others: columns of a down
// matrix, a token's values for neurons that share their scales, what their sums add to the outputs.
#pragma once

#include <cfloat>

#include "kernels/generic/neurons-inl.h"
#include "kernels/generic/quad-sum-inl.h"

namespace st {
namespace {

constexpr int kPartColumns = kLanes * kColumnSlots;
constexpr int kTileParts = kColumnTile / kPartColumns;

// What one call multiplies, and its columns. W: see neurons-inl.h.
template <typename W>
struct DownColumns {
  const NeuronRows& w;
  int64_t neurons, cols;
  int64_t begin, columns;

  int64_t groups() const { return neurons / W::kNeurons; }
  int64_t blocks() const { return columns / kBlock; }
  int parts() const { return static_cast<int>((columns + kPartColumns - 1) / kPartColumns); }
  int64_t stride() const { return cols / kBlock * W::kBlockBytes; }  // between neurons
  const uint8_t* quants(int64_t group) const {
    return w.q + group * W::kNeurons * stride() + begin / kBlock * W::kBlockBytes;
  }
  // Of the tile that begins c columns on.
  typename W::Scales scales(int64_t group, int64_t c) const {
    return {w, group, padded_columns(cols), begin + c};
  }
  ST_INLINE void load_four(const uint8_t* const* rows, int part,
                           Bytes (&codes)[kColumnSlots]) const {
    const int64_t b = int64_t{part} * kChains, left = blocks() - b;
    if (W::kWantsN && left >= kChains) {
      W::load_four(rows, b, kChains, blocks(), codes);
    } else {
      W::load_four(rows, b, static_cast<int>(left < kChains ? left : kChains), blocks(), codes);
    }
  }
};

// What a token has for a group of neurons.
template <typename W>
struct GroupValues {
  const int8_t* q;
  float d;
  int total;  // of q

  ST_INLINE GroupValues(const Q8Rows& x, int64_t group) : q(x.q + group * W::kNeurons) {
    const int64_t first = group * W::kNeurons, block = first / kBlock;
    d = x.d[block];
    total = first % kBlock != 0             ? x.sum[block] - x.half_sum[block]
            : W::kNeurons < int64_t{kBlock} ? x.half_sum[block]
                                            : x.sum[block];
  }
  // Whether they add anything; what is no number shows.
  ST_INLINE bool any() const {
    uint64_t eight[W::kNeurons / 8], bits = 0;
    __builtin_memcpy(eight, q, W::kNeurons);
    for (const uint64_t v : eight) bits |= v;
    return bits != 0 || !(d <= FLT_MAX);
  }
};

// The scales of a part of a tile.
template <typename W>
struct PartScales {
  const typename W::Scales& scales;
  int part;

  ST_INLINE VecF scale(int slot) const { return scales.scale(W::scale_place(part, slot)); }
  ST_INLINE VecF min(int slot) const { return scales.min(W::scale_place(part, slot)); }
};

// out[slot] += what the sums of a part are worth.
template <typename W, typename Scales>
ST_INLINE void add_part(const typename QuadSum<W>::Lanes (&sums)[kColumnSlots],
                        const Scales& scales, float d, int total, VecF* out) {
  for (int slot = 0; slot < kColumnSlots; ++slot) {
    const VecF sum = to_float(QuadSum<W>::finish(sums[slot], total));
    out[slot] = fma(sum, scales.scale(slot) * splat(d), out[slot]);
    if constexpr (W::Scales::kHasMins) {
      out[slot] = fma(scales.min(slot), splat(d * static_cast<float>(total)), out[slot]);
    }
  }
}

// The outputs of a part, `left` of them, in their order.
template <typename W>
ST_INLINE void store_part(const VecF* out, int64_t left, float* y) {
  for (int slot = 0; slot < kColumnSlots; ++slot) {
    alignas(64) float lanes[kLanes];
    store(lanes, out[slot]);
    for (int quad = 0; quad < kChains; ++quad) {
      const int64_t column = W::slot_column(slot, quad);
      if (column < left) __builtin_memcpy(y + column, lanes + quad * 4, 16);
    }
  }
}

}  // namespace
}  // namespace st
