// How a matrix that is regrouped by neuron is read, one struct for each type: the codes of four
// neurons, and the scales of the outputs.
//
//   kNeurons                             that share the scales of an output
//   kOffset                              what is to be taken from each code
//   kBlockBytes                          of the quants of a block of a row
//   kWantsN                              whether load_four() depends on n
//   load_four(rows, b, n, blocks, out)   codes of n <= kChains blocks from b on, of four rows of
//                                        `blocks`, in kColumnSlots vectors: a lane is an output,
//                                        its bytes are the rows
//   slot_column(slot, quad)              output of the first of four lanes
//   scale_place(part, slot)              where the slot's scales are in a tile
//   Scales                               those of a tile and of some neurons: scale(place), and
//                                        minus the minimum, min(place), where kHasMins
#pragma once

#include "kernels/generic/codes-inl.h"

namespace st {
namespace {

constexpr int kColumnSlots = 8;  // vectors of sums in registers: a part of the columns

// ---- Codes ----

template <typename W>
struct NeuronsOf : W {
  static constexpr int kBlockBytes = kBlock * W::kBits / 8;
};

// Codes that are the nibbles of a block: bytes of four rows are interleaved as they lie in memory.
template <typename W>
struct NibbleNeurons : NeuronsOf<W> {
  static constexpr bool kWantsN = true;

  ST_INLINE static void load_four(const uint8_t* const* rows, int64_t b, int n, int64_t /*blocks*/,
                                  Bytes (&out)[kColumnSlots]) {
    constexpr int kBlockBytes = NeuronsOf<W>::kBlockBytes;
    Bytes pairs[4];
    for (int k = 0; k < 4; ++k) pairs[k] = load_bytes(rows[k] + b * kBlockBytes, n * kBlockBytes);
    interleave(pairs);
    for (int k = 0; k < 4; ++k) {
      out[k] = low_nibbles(pairs[k]);
      out[k + 4] = high_nibbles(pairs[k]);
    }
  }
  static int slot_column(int slot, int quad) { return Q4_0::slot_column(slot, quad); }
  static int scale_place(int part, int slot) { return Q4_0::scale_place(part, slot); }
};

// Of Q8_0.
template <typename W>
struct ByteNeurons : NeuronsOf<W> {
  static constexpr bool kWantsN = true;

  ST_INLINE static void load_four(const uint8_t* const* rows, int64_t b, int n, int64_t /*blocks*/,
                                  Bytes (&out)[kColumnSlots]) {
    for (int v = 0; v < 2; ++v) {
      Bytes quants[4];
      for (int k = 0; k < 4; ++k) {
        quants[k] = load_bytes(rows[k] + b * kBlock + v * kBytes, n * kBlock - v * kBytes);
      }
      interleave(quants);
      for (int k = 0; k < 4; ++k) out[4 * v + k] = q8_weights(quants[k]);
    }
  }
};

// Of the others. Sums are in the order of nibbles'.
template <typename W>
struct CodeNeurons : NibbleNeurons<W> {
  static constexpr bool kWantsN = false;

  ST_INLINE static void load_four(const uint8_t* const* rows, int64_t b, int /*n*/, int64_t blocks,
                                  Bytes (&out)[kColumnSlots]) {
    Bytes low[4], high[4];
    for (int k = 0; k < 4; ++k) CodesOf<W>::load(rows[k], b, blocks, low[k], high[k]);
    interleave(low);
    interleave(high);
    for (int k = 0; k < 4; ++k) {
      out[k] = low[k];
      out[k + 4] = high[k];
    }
  }
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

template <typename Codes, typename ScalesOfType>
struct Neurons : Codes {
  using Scales = ScalesOfType;
  static constexpr int kNeurons = Scales::kNeurons;
};

}  // namespace
}  // namespace st
