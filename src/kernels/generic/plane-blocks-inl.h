// Types of nibbles and planes of bits, in blocks of 32.
#pragma once

#include "kernels/generic/blocks-inl.h"

namespace st {
namespace {

ST_INLINE Bytes16 load_bytes16(const void* p) {
  Bytes16 v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

// The codes of a chunk's blocks, see load() of a type.
struct Codes {
  Bytes low, high;
};
ST_INLINE Codes load_nibbles(const uint8_t* q, int place, int n) {
  const Bytes pairs = load_bytes(q + place * 16, (n - place) * 16);
  return {low_nibbles(pairs), high_nibbles(pairs)};
}

// The singles of n < 4 blocks, which have 32 bits each, as a plane.
[[gnu::noinline]] Bytes16 gather_singles(const uint8_t* bits, int n) {
  Bytes16 plane = {};
  for (int b = 0; b < n; ++b) {
    for (int j = 0; j < 16; ++j) {
      const int first = bits[4 * b + j / 8] >> (j % 8) & 1;
      const int last = bits[4 * b + 2 + j / 8] >> (j % 8) & 1;
      plane[j] = static_cast<uint8_t>(plane[j] | first << (2 * b) | last << (2 * b + 1));
    }
  }
  return plane;
}

ST_INLINE Codes load_fives(const uint8_t* q, int place, int n) {
  constexpr Planes kPlanes = kNibblesAndSingles;
  const Bytes pairs = load_bytes(q + place * 16, (n - place) * 16);
  const uint8_t* bits = q + (n < kChunkBlocks ? 16 * n : kPlanes.singles_at());
  const Bytes16 singles = n < kChunkBlocks ? gather_singles(bits, n) : load_bytes16(bits);
  Codes codes;
  join_singles<4>(pairs, singles, place, codes.low, codes.high);
  return codes;
}

// The codes of the last n blocks of a row, from the beginning of a chunk on, as whole chunks have
// them. What the others would have in `to` stays as it is.
template <typename W>
ST_INLINE void copy_codes(const uint8_t* from, int n, uint8_t* to) {
  constexpr bool kSingles = W::kBits == 5;
  const int rest = kSingles ? n % kChunkBlocks : 0, whole = n - rest;
  const int bytes = whole * (kBlock * W::kBits / 8);
  __builtin_memcpy(to, from, static_cast<size_t>(bytes));
  if (rest == 0) return;
  const Bytes16 singles = gather_singles(from + bytes + 16 * rest, rest);
  __builtin_memcpy(to + bytes, from + bytes, static_cast<size_t>(16 * rest));
  __builtin_memcpy(to + bytes + kNibblesAndSingles.singles_at(), &singles, sizeof singles);
}

struct Q4_1 : CodeDots<15>, WithM {
  static constexpr int kBits = 4, kOffset = 0;
  Bytes low, high;
  ST_INLINE static Q4_1 load(const uint8_t* q, int place, int n) {
    const Codes codes = load_nibbles(q, place, n);
    return {{}, {}, codes.low, codes.high};
  }
};

struct Q5_0 : CodeDots<31>, WithD {
  static constexpr int kBits = 5, kOffset = 16;
  Bytes low, high;
  ST_INLINE static Q5_0 load(const uint8_t* q, int place, int n) {
    const Codes codes = load_fives(q, place, n);
    return {{}, {}, codes.low, codes.high};
  }
};

struct Q5_1 : CodeDots<31>, WithM {
  static constexpr int kBits = 5, kOffset = 0;
  Bytes low, high;
  ST_INLINE static Q5_1 load(const uint8_t* q, int place, int n) {
    const Codes codes = load_fives(q, place, n);
    return {{}, {}, codes.low, codes.high};
  }
};

}  // namespace
}  // namespace st
