// How a matrix that is regrouped by neuron is read, one struct for each type: four neurons'
// products with activations, and the scales of the outputs.
//
//   kNeurons                             that share the scales of an output
//   kOffset                              what is to be taken from each code
//   offset(row, b, cols)                 where block b of a row's quants is, b a multiple of 4
//   kBlockBytes                          how far it is to the next one
//   kPacked                              whether add_four() depends on n
//   add_four(rows, b, n, blocks, q, sums)   products of n <= kChains blocks from b on, of four rows
//                                        of `blocks` with four activations each in q, in
//                                        kColumnSlots vectors of outputs
//   slot_column(slot, quad)              output of the first of four lanes
//   scale_place(part, slot)              where the slot's scales are in a tile
//   Scales                               those of a tile and of some neurons: scale(place), and
//                                        minus the minimum, min(place), where kHasMins
#pragma once

#include "kernels/generic/codes-inl.h"

namespace st {
namespace {

constexpr int kColumnSlots = 8;  // vectors of sums in registers: a part of the columns

// ---- Products ----

// Of Q4_0 and Q8_0: bytes of four rows are interleaved as they lie in memory.
template <typename W>
struct PackedNeurons : W {
  static constexpr bool kPacked = true;

  ST_INLINE static void add_four(const uint8_t* const* rows, int64_t b, int n, int64_t /*blocks*/,
                                 Bytes q, VecI* sums) {
    for (int v = 0; v < W::kSumVecs; ++v) {
      Bytes quants[4];
      for (int k = 0; k < 4; ++k) {
        quants[k] =
            load_bytes(rows[k] + b * W::kBlockBytes + v * kBytes, n * W::kBlockBytes - v * kBytes);
      }
      interleave(quants);
      for (int k = 0; k < 4; ++k) W::add_product(quants[k], q, sums + 4 * v + k);
    }
  }
};

// Of the others. Sums are in the order of Q4_0's.
template <typename W>
struct CodeNeurons {
  using Codes = CodesOf<W>;
  static constexpr int kOffset = Codes::kOffset;
  static constexpr int kBlockBytes = kBlock * Codes::kBits / 8;
  static constexpr bool kPacked = false;

  static int64_t offset(int64_t row, int64_t b, int64_t cols) {
    return (row * (cols / kBlock) + b) * kBlockBytes;
  }
  ST_INLINE static void add_four(const uint8_t* const* rows, int64_t b, int /*n*/, int64_t blocks,
                                 Bytes q, VecI* sums) {
    Bytes low[4], high[4];
    for (int k = 0; k < 4; ++k) Codes::load(rows[k], b, blocks, low[k], high[k]);
    interleave(low);
    interleave(high);
    for (int k = 0; k < 4; ++k) {
      sums[k] = Codes::dot(sums[k], low[k], q);
      sums[k + 4] = Codes::dot(sums[k + 4], high[k], q);
    }
  }
  static int slot_column(int slot, int quad) { return Q4_0::slot_column(slot, quad); }
  static int scale_place(int part, int slot) { return Q4_0::scale_place(part, slot); }
};

// ---- Scales ----
//
// neurons: the number of those that share them, in order. tile: where the tile begins in a row of
// `padded` places.

struct NeuronD {
  static constexpr int kNeurons = kBlock;
  static constexpr bool kHasMins = false;
  const uint16_t* d;

  NeuronD(const NeuronRows& w, int64_t neurons, int64_t padded, int64_t tile)
      : d(w.d + neurons * padded + tile) {}
  ST_INLINE VecF scale(int place) const { return F16::load(d + place, kLanes); }
};

struct NeuronDAndM : NeuronD {
  static constexpr bool kHasMins = true;
  const uint16_t* m;

  NeuronDAndM(const NeuronRows& w, int64_t neurons, int64_t padded, int64_t tile)
      : NeuronD(w, neurons, padded, tile), m(w.m + neurons * padded + tile) {}
  ST_INLINE VecF min(int place) const { return F16::load(m + place, kLanes); }
};

// Powers of two, 2^(e - 128).
struct NeuronExponents {
  static constexpr int kNeurons = kBlock;
  static constexpr bool kHasMins = false;
  const uint8_t* e;

  NeuronExponents(const NeuronRows& w, int64_t neurons, int64_t padded, int64_t tile)
      : e(w.sub + neurons * padded + tile) {}
  ST_INLINE VecF scale(int place) const {
    const VecI exponent = lanes_u8(e + place);
    return (VecF)max((exponent - 1) << 23, (exponent + 1) << 21);  // subnormal for 0 and 1
  }
};

// Of super-blocks: scales with a sign.
template <int neurons_of_one>
struct NeuronSigned {
  static constexpr int kNeurons = neurons_of_one;
  static constexpr bool kHasMins = false;
  const uint16_t* d;
  const uint8_t* sub;

  NeuronSigned(const NeuronRows& w, int64_t neurons, int64_t padded, int64_t tile)
      : d(w.d + neurons / (kSuperBlock / kNeurons) * padded + tile),
        sub(w.sub + neurons * padded + tile) {}
  ST_INLINE VecF scale(int place) const {
    return F16::load(d + place, kLanes) * to_float(lanes_i8(sub + place));
  }
};

// Of Q4_K and Q5_K.
struct NeuronSixBits {
  static constexpr int kNeurons = kBlock;
  static constexpr bool kHasMins = true;
  const uint16_t *d, *m;
  const uint8_t *sub, *sub_mins;

  NeuronSixBits(const NeuronRows& w, int64_t neurons, int64_t padded, int64_t tile)
      : d(w.d + neurons / (kSuperBlock / kNeurons) * padded + tile),
        m(w.m + (d - w.d)),
        sub(w.sub + neurons * padded + tile),
        sub_mins(w.sub_mins + neurons * padded + tile) {}
  ST_INLINE VecF scale(int place) const {
    return F16::load(d + place, kLanes) * to_float(lanes_u8(sub + place));
  }
  ST_INLINE VecF min(int place) const {
    return F16::load(m + place, kLanes) * -to_float(lanes_u8(sub_mins + place));
  }
};

// Of Q2_K: both in a byte.
struct NeuronPacked {
  static constexpr int kNeurons = 16;
  static constexpr bool kHasMins = true;
  const uint16_t *d, *m;
  const uint8_t* sub;

  NeuronPacked(const NeuronRows& w, int64_t neurons, int64_t padded, int64_t tile)
      : d(w.d + neurons / (kSuperBlock / kNeurons) * padded + tile),
        m(w.m + (d - w.d)),
        sub(w.sub + neurons * padded + tile) {}
  ST_INLINE VecF scale(int place) const {
    return F16::load(d + place, kLanes) * to_float(lanes_u8(sub + place) & 15);
  }
  ST_INLINE VecF min(int place) const {
    return F16::load(m + place, kLanes) * -to_float(lanes_u8(sub + place) >> 4);
  }
};

// ---- Types ----

template <typename Products, typename ScalesOfType>
struct Neurons : Products {
  using Scales = ScalesOfType;
  static constexpr int kNeurons = Scales::kNeurons;
};

}  // namespace
}  // namespace st
