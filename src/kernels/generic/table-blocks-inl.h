// Types whose nibbles stand for values of a table.
#pragma once

#include "kernels/generic/sub-scales-inl.h"

namespace st {
namespace {

// What nibbles stand for, with an offset.
struct CodeTable {
  uint8_t codes[16];

  constexpr CodeTable(const int8_t (&values)[16], int offset) : codes{} {
    for (int i = 0; i < 16; ++i) codes[i] = static_cast<uint8_t>(values[i] + offset);
  }
};
constexpr CodeTable kIQ4Codes(kIQ4Values, kQ8Offset);  // as ByteDots wants them

ST_INLINE Codes load_by_table(const CodeTable& table, const uint8_t* q, int place, int n) {
  const Codes codes = load_nibbles(q, place, n);
  const Bytes16 by_nibble = load_bytes16(table.codes);
  return {look_up(by_nibble, codes.low), look_up(by_nibble, codes.high)};
}

struct IQ4_NL : ByteDots, WithD {
  static constexpr int kBits = 4, kOffset = kQ8Offset;
  Bytes low, high;
  ST_INLINE static IQ4_NL load(const uint8_t* q, int place, int n) {
    const Codes codes = load_by_table(kIQ4Codes, q, place, n);
    return {{}, {}, codes.low, codes.high};
  }
};

// Per super-block d, the top two bits of each scale, and a nibble of each.
struct IQ4_XS : ByteDots, OneScale {
  static constexpr int kBits = 4, kOffset = kQ8Offset;
  static constexpr int kScaleBytes = 8, kBlockArrays = 0;
  Bytes low, high;

  ST_INLINE static IQ4_XS load(const uint8_t* q, int place, int n) {
    const Codes codes = load_by_table(kIQ4Codes, q, place, n);
    return {{}, {}, codes.low, codes.high};
  }
  ST_INLINE static void scales(const FourScales& rows, int64_t b, int /*n*/,
                               StepScales<IQ4_XS>& out) {
    const int64_t at = super_block(b) * kScaleBytes;
    const Bytes16 first = two_rows(rows.row[0] + at, rows.row[1] + at);
    const Bytes16 second = two_rows(rows.row[2] + at, rows.row[3] + at);
    const Bytes16 heads = __builtin_shufflevector(first, second, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17,
                                                  18, 19, 24, 25, 26, 27);
    const VecF d = split_ds(heads).d;
    for (int k = 0; k < kStepQuads; ++k) {
      const bool late = is_second(b, k);
      // Bytes 4 and 5, or 6 and 7, of all rows, each for two blocks; bytes 2 or 3 for all four.
      const Bytes16 nibbles = late ? __builtin_shufflevector(first, second, 6, 14, 22, 30, 6, 14,
                                                             22, 30, 7, 15, 23, 31, 7, 15, 23, 31)
                                   : __builtin_shufflevector(first, second, 4, 12, 20, 28, 4, 12,
                                                             20, 28, 5, 13, 21, 29, 5, 13, 21, 29);
      const Bytes16 tops = late ? __builtin_shufflevector(first, second, 3, 11, 19, 27, 3, 11, 19,
                                                          27, 3, 11, 19, 27, 3, 11, 19, 27)
                                : __builtin_shufflevector(first, second, 2, 10, 18, 26, 2, 10, 18,
                                                          26, 2, 10, 18, 26, 2, 10, 18, 26);
      const Bytes16 scale = ((shift_blocks(nibbles, 0, 4, 0, 4) & 15) |
                             (shift_left(shift_blocks(tops, 0, 2, 4, 6), 4) & 0x30)) -
                            32;
      scale_signed(scale, d, out.scale + k * kQuadVecs);
    }
  }
};

// Codes are 12 more than twice the value of a four-bit float; the scale is half of 2^(e - 127).
struct ExponentScale : OneScale {
  using Scaling = ExponentScale;
  // Neither the largest nor the smallest scale may leave the range before it meets the dots.
  ST_INLINE static VecF add_scaled(VecI dots, VecF scale, VecF d, VecF sums) {
    return fma(to_float(dots) * d, scale, sums);
  }
};
struct MXFP4 : CodeDots<24>, ExponentScale {
  static constexpr int kBits = 4, kOffset = 12;
  static constexpr int kScaleBytes = 8, kBlockArrays = 1;
  static constexpr CodeTable kCodes{kE2M1Values, kOffset};
  Bytes low, high;

  ST_INLINE static MXFP4 load(const uint8_t* q, int place, int n) {
    const Codes codes = load_by_table(kCodes, q, place, n);
    return {{}, {}, codes.low, codes.high};
  }
  ST_INLINE static void scales(const FourScales& rows, int64_t b, int n, StepScales<MXFP4>& out) {
    for (int k = 0; k < kStepQuads && 4 * k < n; ++k) {
      uint8_t e[4][4] = {};
      const int count = n - 4 * k < 4 ? n - 4 * k : 4;
      for (int r = 0; r < 4; ++r) {
        const uint8_t* from = rows.row[r] + b + 4 * k;
        count == 4 ? __builtin_memcpy(e[r], from, 4)
                   : __builtin_memcpy(e[r], from, static_cast<size_t>(count));
      }
      VecI lanes[kQuadVecs];
      widen(transpose(load_bytes16(e)), lanes);
      for (int v = 0; v < kQuadVecs; ++v) {
        // The bits of 2^(e - 128): subnormal for 0 and 1.
        const VecI normal = (lanes[v] - 1) << 23, subnormal = (lanes[v] + 1) << 21;
        out.scale[k * kQuadVecs + v] = (VecF)(normal > subnormal ? normal : subnormal);
      }
    }
  }
};

}  // namespace
}  // namespace st
