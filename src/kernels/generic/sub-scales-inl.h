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

// Bytes `first`, first + 2, first + 4, first + 6 of four rows of eight bytes, two of them in each.
template <int first>
ST_INLINE Bytes16 every_second(Bytes16 rows01, Bytes16 rows23) {
  constexpr int k = first;
  return __builtin_shufflevector(rows01, rows23, k, k + 8, k + 16, k + 24, k + 2, k + 10, k + 18,
                                 k + 26, k + 4, k + 12, k + 20, k + 28, k + 6, k + 14, k + 22,
                                 k + 30);
}

// The bytes of each block shifted right by a number of its own.
ST_INLINE Bytes16 shift_blocks(Bytes16 v, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  using Dwords = uint32_t __attribute__((vector_size(16)));
  return (Bytes16)((Dwords)v >> Dwords{a, b, c, d});
}

ST_INLINE Bytes16 two_rows(const uint8_t* a, const uint8_t* b) {
  uint64_t both[2];
  __builtin_memcpy(&both[0], a, 8);
  __builtin_memcpy(&both[1], b, 8);
  return load_bytes16(both);
}
ST_INLINE Bytes16 four_dwords(const uint8_t* a, const uint8_t* b, const uint8_t* c,
                              const uint8_t* d) {
  uint32_t all[4];
  __builtin_memcpy(&all[0], a, 4);
  __builtin_memcpy(&all[1], b, 4);
  __builtin_memcpy(&all[2], c, 4);
  __builtin_memcpy(&all[3], d, 4);
  return load_bytes16(all);
}
// The d of four rows, half-precision numbers at p, each in its lane of all parts.
ST_INLINE VecF four_halves(const uint8_t* const (&p)[4]) {
  uint16_t all[8] = {};
  for (int r = 0; r < 4; ++r) __builtin_memcpy(&all[r], p[r], 2);
  return repeat_halves(load_bytes16(all));
}
// The same from d and dmin in turn.
struct Ds {
  VecF d, dmin;
};
ST_INLINE Ds split_ds(Bytes16 in_turn) {
  using Words16 = uint16_t __attribute__((vector_size(16)));
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
ST_INLINE bool is_second(int64_t b, int k) { return kStepQuads == 2 ? k == 1 : b / 4 % 2 == 1; }
ST_INLINE int64_t super_block(int64_t b) { return b / 8; }

}  // namespace
}  // namespace st
