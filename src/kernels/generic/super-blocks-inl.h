// Types of super-blocks of 256 values, eight blocks: their rows have whole steps, n blocks are all
// of them.
#pragma once

#include "kernels/generic/sub-scales-inl.h"

namespace st {
namespace {

// Q4_K, Q5_K: per super-block d, dmin, then six-bit scales and minimums: of the first four blocks
// bytes 0-3 and 4-7; of the last four the nibbles of bytes 8-11 and the bits above the first four.
struct SixBitScales : OneScale {
  static constexpr bool kHasBase = true;
  static constexpr int kScaleBytes = 16, kBlockArrays = 0;

  template <typename W>
  ST_INLINE static void scales(const FourScales& rows, int64_t b, int /*n*/, StepScales<W>& out) {
    const int64_t at = super_block(b) * kScaleBytes;
    const Bytes16 r0 = load_bytes16(rows.row[0] + at), r1 = load_bytes16(rows.row[1] + at);
    const Bytes16 r2 = load_bytes16(rows.row[2] + at), r3 = load_bytes16(rows.row[3] + at);
    const Ds ds = split_ds(column<0>(r0, r1, r2, r3));
    const Bytes16 first = column<1>(r0, r1, r2, r3), second = column<2>(r0, r1, r2, r3);
    for (int k = 0; k < kStepQuads; ++k) {
      Bytes16 scale = first & 63, min = second & 63;
      if (is_second(b, k)) {
        const Bytes16 third = column<3>(r0, r1, r2, r3);
        scale = (third & 15) | (first >> 2 & 0x30);
        min = third >> 4 | (second >> 2 & 0x30);
      }
      scale_unsigned(transpose(scale), ds.d, out.scale + k * kQuadVecs);
      scale_unsigned(transpose(min), -ds.dmin, out.base + k * kQuadVecs);
    }
  }
};

struct Q4_K : CodeDots<15>, SixBitScales {
  static constexpr int kBits = 4, kOffset = 0;
  Bytes low, high;
  ST_INLINE static Q4_K load(const uint8_t* q, int place, int n) {
    const Codes codes = load_nibbles(q, place, n);
    return {{}, {}, codes.low, codes.high};
  }
};

struct Q5_K : CodeDots<31>, SixBitScales {
  static constexpr int kBits = 5, kOffset = 0;
  Bytes low, high;
  ST_INLINE static Q5_K load(const uint8_t* q, int place, int n) {
    const Codes codes = load_fives(q, place, n);
    return {{}, {}, codes.low, codes.high};
  }
};

// 16 scales per super-block, then all d.
struct Q6_K : CodeDots<63>, TwoScales {
  static constexpr int kBits = 6, kOffset = 32;
  static constexpr int kScaleBytes = 18;
  Bytes low, high;

  ST_INLINE static Q6_K load(const uint8_t* q, int place, int n) {
    const Bytes pairs = load_bytes(q + place * 16, (n - place) * 16);
    Q6_K w;
    join_pairs<4>(pairs, q + kNibblesAndPairs.pairs_at(), place, w.low, w.high);
    return w;
  }
  ST_INLINE static void scales(const FourScales& rows, int64_t b, int /*n*/,
                               StepScales<Q6_K>& out) {
    out.d = load_ds(rows, rows.blocks * 2 + super_block(b) * 2);
    const StepPairs pairs = load_step_pairs(rows, b * 2);
    for (int k = 0; k < kStepQuads; ++k) {
      widen_pairs(pairs.of[k].of, out.scale + k * kQuadVecs);
    }
  }
};

// 16 bytes per super-block, each with a scale and a minimum, then all d and dmin.
struct Q2_K : CodeDots<3>, TwoScales {
  static constexpr int kBits = 2, kOffset = 0;
  static constexpr bool kHasBase = true;
  static constexpr int kScaleBytes = 20;
  Bytes low, high;

  ST_INLINE static Q2_K load(const uint8_t* q, int place, int /*n*/) {
    const Bytes pairs = spread_pairs(q, place);
    return {{}, {}, mask_words(pairs, 0x0303), mask_words(shift_words<2>(pairs), 0x0303)};
  }
  ST_INLINE static void scales(const FourScales& rows, int64_t b, int /*n*/,
                               StepScales<Q2_K>& out) {
    const int64_t at_d = rows.blocks * 2 + super_block(b) * 4;
    const Ds ds = split_ds(four_dwords(rows, at_d));
    out.d = ds.d;
    out.base_d = -ds.dmin;
    const StepPairs both = load_step_pairs(rows, b * 2);
    for (int k = 0; k < kStepQuads; ++k) {
      Bytes words[kQuadVecs];
      widen_pairs(both.of[k].of, words);
      for (int v = 0; v < kQuadVecs; ++v) {
        out.scale[k * kQuadVecs + v] = mask_words(words[v], 15);
        out.base[k * kQuadVecs + v] = mask_words(shift_words<4>(words[v]), 15);
      }
    }
  }
};

// 12 bytes per super-block, then all d. Of scale j the low bits are a nibble of byte j % 8, the top
// bits in byte 8 + j % 4, four of them in each.
struct Q3_K : CodeDots<7>, TwoScales {
  static constexpr int kBits = 3, kOffset = 4;
  static constexpr int kScaleBytes = 14;
  Bytes low, high;

  ST_INLINE static Q3_K load(const uint8_t* q, int place, int /*n*/) {
    const Bytes16 singles = load_bytes16(q + kPairsAndSingles.singles_at());
    Q3_K w;
    join_singles<2>(spread_pairs(q, place), singles, place, w.low, w.high);
    return w;
  }
  ST_INLINE static void scales(const FourScales& rows, int64_t b, int /*n*/,
                               StepScales<Q3_K>& out) {
    const int64_t supers = rows.blocks >> 3, at = super_block(b) * 12;
    out.d = load_ds(rows, supers * 12 + super_block(b) * 2);
    const BytePairs nibbles = load_pairs(rows, at);
    // Bytes 8 and 9 of all rows, for even blocks, then 10 and 11.
    const auto dwords = (Words16)four_dwords(rows, at + 8);
    const auto tops = (Bytes16)__builtin_shufflevector(dwords, dwords, 0, 2, 4, 6, 1, 3, 5, 7);
    for (int k = 0; k < kStepQuads; ++k) {
      const bool late = is_second(b, k);
      Bytes16 scale[2];
      for (int j = 0; j < 2; ++j) {
        const Bytes16 below = late ? nibbles.of[j] >> 4 : nibbles.of[j] & 15;
        const Bytes16 top = shift_left(late ? tops >> 4 : tops, 4 - 2 * j);
        scale[j] = (below | (top & 0x30)) - 32;
      }
      widen_pairs(scale, out.scale + k * kQuadVecs);
    }
  }
};

}  // namespace
}  // namespace st
