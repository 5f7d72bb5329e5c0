// Types of super-blocks of 256 values, eight blocks: their rows have whole steps, n blocks are all
// of them.
#pragma once

#include "kernels/generic/sub-scales-inl.h"

namespace st {
namespace {

// Q4_K, Q5_K: per super-block d, dmin, then six-bit scales and minimums: of the first four blocks
// bytes 0-3 and 4-7; of the last four the nibbles of bytes 8-11 and the bits above the first four.
struct SixBitScales : OneScale {
  static constexpr int kBases = 1;
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
      scale_unsigned(transpose(scale), ds.d, out.scale[0] + k * kQuadVecs);
      scale_unsigned(transpose(min), -ds.dmin, out.base[0] + k * kQuadVecs);
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
  static constexpr int kScaleBytes = 18, kBlockArrays = 0;
  Bytes low, high;

  ST_INLINE static Q6_K load(const uint8_t* q, int place, int n) {
    const Bytes pairs = load_bytes(q + place * 16, (n - place) * 16);
    const Bytes top = spread_pairs(q + kNibblesAndPairs.pairs_at(), place);
    return {{}, {}, join_low<4, 2>(pairs, top), join_high<4, 2>(pairs, top)};
  }
  ST_INLINE static void scales(const FourScales& rows, int64_t b, int /*n*/,
                               StepScales<Q6_K>& out) {
    const int64_t ds = rows.blocks * 2 + super_block(b) * 2;
    const VecF d =
        four_halves({rows.row[0] + ds, rows.row[1] + ds, rows.row[2] + ds, rows.row[3] + ds});
    for (int k = 0; k < kStepQuads; ++k) {
      const int64_t at = (b + 4 * k) * 2;
      const Bytes16 first = two_rows(rows.row[0] + at, rows.row[1] + at);
      const Bytes16 second = two_rows(rows.row[2] + at, rows.row[3] + at);
      scale_signed(every_second<0>(first, second), d, out.scale[0] + k * kQuadVecs);
      scale_signed(every_second<1>(first, second), d, out.scale[1] + k * kQuadVecs);
    }
  }
};

// 16 bytes per super-block, each with a scale and a minimum, then all d and dmin.
struct Q2_K : CodeDots<3>, TwoScales {
  static constexpr int kBits = 2, kOffset = 0, kBases = 2;
  static constexpr int kScaleBytes = 20, kBlockArrays = 0;
  Bytes low, high;

  ST_INLINE static Q2_K load(const uint8_t* q, int place, int /*n*/) {
    const Bytes pairs = spread_pairs(q, place);
    return {{}, {}, mask_words(pairs, 0x0303), mask_words(shift_words<2>(pairs), 0x0303)};
  }
  ST_INLINE static void scales(const FourScales& rows, int64_t b, int /*n*/,
                               StepScales<Q2_K>& out) {
    const int64_t at_d = rows.blocks * 2 + super_block(b) * 4;
    const Ds ds = split_ds(four_dwords(rows.row[0] + at_d, rows.row[1] + at_d, rows.row[2] + at_d,
                                       rows.row[3] + at_d));
    for (int k = 0; k < kStepQuads; ++k) {
      const int64_t at = (b + 4 * k) * 2;
      const Bytes16 first = two_rows(rows.row[0] + at, rows.row[1] + at);
      const Bytes16 second = two_rows(rows.row[2] + at, rows.row[3] + at);
      const Bytes16 of_half[] = {every_second<0>(first, second), every_second<1>(first, second)};
      for (int half = 0; half < 2; ++half) {
        scale_unsigned(of_half[half] & 15, ds.d, out.scale[half] + k * kQuadVecs);
        scale_unsigned(of_half[half] >> 4, -ds.dmin, out.base[half] + k * kQuadVecs);
      }
    }
  }
};

// 12 bytes per super-block, then all d. Of scale j the low bits are a nibble of byte j % 8, the top
// bits in byte 8 + j % 4, four of them in each.
struct Q3_K : CodeDots<7>, TwoScales {
  static constexpr int kBits = 3, kOffset = 4;
  static constexpr int kScaleBytes = 14, kBlockArrays = 0;
  Bytes low, high;

  ST_INLINE static Q3_K load(const uint8_t* q, int place, int /*n*/) {
    const Bytes pairs = spread_pairs(q, place);
    const Bytes top = spread_singles(load_bytes16(q + kPairsAndSingles.singles_at()), place);
    return {{}, {}, join_low<2, 1>(pairs, top), join_high<2, 1>(pairs, top)};
  }
  ST_INLINE static void scales(const FourScales& rows, int64_t b, int /*n*/,
                               StepScales<Q3_K>& out) {
    const int64_t ds = rows.blocks / 8 * 12 + super_block(b) * 2, at = super_block(b) * 12;
    const VecF d =
        four_halves({rows.row[0] + ds, rows.row[1] + ds, rows.row[2] + ds, rows.row[3] + ds});
    const Bytes16 first = two_rows(rows.row[0] + at, rows.row[1] + at);
    const Bytes16 second = two_rows(rows.row[2] + at, rows.row[3] + at);
    const Bytes16 nibbles[] = {every_second<0>(first, second), every_second<1>(first, second)};
    const Bytes16 tops = four_dwords(rows.row[0] + at + 8, rows.row[1] + at + 8,
                                     rows.row[2] + at + 8, rows.row[3] + at + 8);
    // Bytes 8 and 10, or 9 and 11, of all rows, for two blocks and once more.
    const Bytes16 top[] = {
        __builtin_shufflevector(tops, tops, 0, 4, 8, 12, 2, 6, 10, 14, 0, 4, 8, 12, 2, 6, 10, 14),
        __builtin_shufflevector(tops, tops, 1, 5, 9, 13, 3, 7, 11, 15, 1, 5, 9, 13, 3, 7, 11, 15)};
    for (int k = 0; k < kStepQuads; ++k) {
      for (int half = 0; half < 2; ++half) {
        const bool late = is_second(b, k);
        const Bytes16 below = late ? nibbles[half] >> 4 : nibbles[half] & 15;
        const Bytes16 shifted = shift_blocks(late ? top[half] >> 4 : top[half], 0, 0, 2, 2);
        const Bytes16 scale = (below | (shifted & 3) << 4) - 32;
        scale_signed(scale, d, out.scale[half] + k * kQuadVecs);
      }
    }
  }
};

}  // namespace
}  // namespace st
