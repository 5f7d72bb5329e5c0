// The scales of super-blocks, of four rows and four blocks at once: bytes of 128 bits in which byte
// 4 i + r belongs to block i of row r, whatever the width of the including file's vectors.
#pragma once

#include "kernels/generic/plane-blocks-inl.h"

namespace st {
namespace {

constexpr int kQuadVecs = 4 / kChains;  // vectors of the scales of four blocks
constexpr int kStepQuads = kStepBlocks / 4;

// Dwords i of four rows of bytes.
template <int i>
ST_INLINE Bytes16 column(Bytes16 a, Bytes16 b, Bytes16 c, Bytes16 d) {
  using Dwords = uint32_t __attribute__((vector_size(16)));
  const auto ab = __builtin_shufflevector((Dwords)a, (Dwords)b, i, i + 4, i, i + 4);
  const auto cd = __builtin_shufflevector((Dwords)c, (Dwords)d, i, i + 4, i, i + 4);
  return (Bytes16)__builtin_shufflevector(ab, cd, 0, 1, 4, 5);
}

// Byte 4 r + i to 4 i + r.
ST_INLINE Bytes16 transpose(Bytes16 v) {
  return __builtin_shufflevector(v, v, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}

// Two bytes for each block, of four rows and four blocks: of[k] has those of block 2 k, of all
// rows in turn, then of block 2 k + 1.
struct BytePairs {
  Bytes16 of[2];
};
using Words16 = uint16_t __attribute__((vector_size(16)));

ST_INLINE Bytes16 load_bytes8(const uint8_t* p) {
  using Halves = uint64_t __attribute__((vector_size(16)));
  uint64_t v;
  __builtin_memcpy(&v, p, sizeof v);
  return (Bytes16)Halves{v, 0};
}
// From `at` bytes on in the scales of each row.
ST_INLINE BytePairs load_pairs(const FourScales& rows, int64_t at) {
  const auto interleave_two = [&](int r) {
    return __builtin_shufflevector((Words16)load_bytes8(rows.row[r] + at),
                                   (Words16)load_bytes8(rows.row[r + 1] + at), 0, 8, 1, 9, 2, 10, 3,
                                   11);
  };
  using Dwords = uint32_t __attribute__((vector_size(16)));
  const auto ab = (Dwords)interleave_two(0), cd = (Dwords)interleave_two(2);
  return {{(Bytes16)__builtin_shufflevector(ab, cd, 0, 4, 1, 5),
           (Bytes16)__builtin_shufflevector(ab, cd, 2, 6, 3, 7)}};
}

// The same of all blocks of a step.
struct StepPairs {
  BytePairs of[kStepQuads];
};
ST_INLINE StepPairs load_step_pairs(const FourScales& rows, int64_t at) {
  if constexpr (kStepQuads == 1) return {{load_pairs(rows, at)}};
  using Dwords = uint32_t __attribute__((vector_size(16)));
  const auto a = (Words16)load_bytes16(rows.row[0] + at),
             b = (Words16)load_bytes16(rows.row[1] + at);
  const auto c = (Words16)load_bytes16(rows.row[2] + at),
             d = (Words16)load_bytes16(rows.row[3] + at);
  const auto first = [](Words16 x, Words16 y) {
    return (Dwords)__builtin_shufflevector(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
  };
  const auto last = [](Words16 x, Words16 y) {
    return (Dwords)__builtin_shufflevector(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
  };
  const auto both = [](Dwords x, Dwords y) -> BytePairs {
    return {{(Bytes16)__builtin_shufflevector(x, y, 0, 4, 1, 5),
             (Bytes16)__builtin_shufflevector(x, y, 2, 6, 3, 7)}};
  };
  StepPairs pairs;
  pairs.of[0] = both(first(a, b), first(c, d));
  pairs.of[kStepQuads - 1] = both(last(a, b), last(c, d));
  return pairs;
}

// Bytes shifted left; what enters them from beside is to be masked out, as there are no shifts of
// bytes. And right, those of each block by a number of its own.
ST_INLINE Bytes16 shift_left(Bytes16 v, int n) { return (Bytes16)((Words16)v << n); }
ST_INLINE Bytes16 shift_blocks(Bytes16 v, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  using Dwords = uint32_t __attribute__((vector_size(16)));
  return (Bytes16)((Dwords)v >> Dwords{a, b, c, d});
}

// Eight bytes of two rows.
ST_INLINE Bytes16 two_rows(const uint8_t* a, const uint8_t* b) {
  using Halves = uint64_t __attribute__((vector_size(16)));
  uint64_t first, second;
  __builtin_memcpy(&first, a, 8);
  __builtin_memcpy(&second, b, 8);
  return (Bytes16)Halves{first, second};
}
ST_INLINE Bytes16 four_dwords(const FourScales& rows, int64_t at) {
  using Dwords = uint32_t __attribute__((vector_size(16)));
  const auto dword = [&](int r) {
    uint32_t v;
    __builtin_memcpy(&v, rows.row[r] + at, sizeof v);
    return v;
  };
  return (Bytes16)Dwords{dword(0), dword(1), dword(2), dword(3)};
}
// The d of four rows, half-precision numbers `at` bytes on, each in its lane of all parts.
ST_INLINE VecF load_ds(const FourScales& rows, int64_t at) {
  const auto d = [&](int r) { return *halves(rows.row[r] + at); };
  return repeat_halves((Bytes16)Words16{d(0), d(1), d(2), d(3), 0, 0, 0, 0});
}
// The same from d and dmin in turn.
struct Ds {
  VecF d, dmin;
};
ST_INLINE Ds split_ds(Bytes16 in_turn) {
  const auto w = (Words16)in_turn;
  return {repeat_halves((Bytes16)__builtin_shufflevector(w, w, 0, 2, 4, 6, 0, 2, 4, 6)),
          repeat_halves((Bytes16)__builtin_shufflevector(w, w, 1, 3, 5, 7, 1, 3, 5, 7))};
}

// to[v] = bytes * d, of four blocks.
ST_INLINE void scale_unsigned(Bytes16 bytes, VecF d, VecF* to) {
  VecI lanes[kQuadVecs];
  widen(bytes, lanes);
  for (int v = 0; v < kQuadVecs; ++v) to[v] = to_float(lanes[v]) * d;
}
ST_INLINE void scale_signed(Bytes16 bytes, VecF d, VecF* to) {
  VecI lanes[kQuadVecs];
  widen_signed(bytes, lanes);
  for (int v = 0; v < kQuadVecs; ++v) to[v] = to_float(lanes[v]) * d;
}

// Whether quad k of the step from block b on is the second of its super-block.
ST_INLINE bool is_second(int64_t b, int k) { return kStepQuads == 2 ? k == 1 : (b >> 2 & 1) != 0; }
ST_INLINE int64_t super_block(int64_t b) { return b >> 3; }

}  // namespace
}  // namespace st
