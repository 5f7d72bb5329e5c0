// How quants of a split matrix lie: in chunks of 128 values, four blocks of 32, and within a chunk
// in planes of bits, one after the other.
//
//   nibbles   16 bytes for each block: byte j has value j in its low bits, value j + 16 in the high
//   pairs     two bits, 16 bytes for each two blocks: byte j has value j of the first in bits 0-1,
//             value j + 16 in bits 2-3; those of the second in bits 4-5 and 6-7
//   singles   one bit, 16 bytes for all four: byte j has value j of block b in bit 2 b, value j +
//             16 in bit 2 b + 1
//
// So the first and the last 16 values of a block come from the same bytes by one shift each. A code
// of more than one plane has those of later planes on top. Types with one plane of nibbles or whole
// bytes have nothing that belongs to a chunk, and rows of any number of blocks. Rows with singles
// may end in a chunk of n < 4 blocks: 16 n bytes of nibbles, then 4 for each block, in which bit i
// is that of value i, as in a file.
#pragma once

#include <cstdint>

#include "tensor/blocks.h"

namespace st {

inline constexpr int kChunkBlocks = 4;

struct Planes {
  bool nibbles, pairs, singles;

  constexpr int bits() const { return 4 * nibbles + 2 * pairs + singles; }
  constexpr int chunk_bytes() const { return kChunkBlocks * kBlock / 8 * bits(); }
  // Where a plane begins in a chunk, and how far up its bits are in a code.
  constexpr int pairs_at() const { return nibbles ? 64 : 0; }
  constexpr int singles_at() const { return pairs_at() + (pairs ? 32 : 0); }
  constexpr int pairs_up() const { return nibbles ? 4 : 0; }
  constexpr int singles_up() const { return pairs_up() + (pairs ? 2 : 0); }
};

inline constexpr Planes kNibbles = {.nibbles = true, .pairs = false, .singles = false};
inline constexpr Planes kNibblesAndSingles = {.nibbles = true, .pairs = false, .singles = true};
inline constexpr Planes kNibblesAndPairs = {.nibbles = true, .pairs = true, .singles = false};
inline constexpr Planes kPairs = {.nibbles = false, .pairs = true, .singles = false};
inline constexpr Planes kPairsAndSingles = {.nibbles = false, .pairs = true, .singles = true};

// The 32 codes of block b of a row of `blocks`.
template <Planes kPlanes>
[[gnu::always_inline]] inline void read_codes(const uint8_t* row, int64_t b, int64_t blocks,
                                              uint8_t* codes) {
  const auto in_chunk = static_cast<int>(b % kChunkBlocks);
  const uint8_t* chunk = row + b / kChunkBlocks * kPlanes.chunk_bytes();
  for (int j = 0; j < kBlock / 2; ++j) {
    unsigned low = 0, high = 0;  // of values j and j + 16
    if (kPlanes.nibbles) {
      const unsigned byte = chunk[16 * in_chunk + j];
      low = byte & 15;
      high = byte >> 4;
    }
    if (kPlanes.pairs) {
      const unsigned bits =
          chunk[kPlanes.pairs_at() + 16 * (in_chunk / 2) + j] >> (4 * (in_chunk % 2));
      low |= (bits & 3) << kPlanes.pairs_up();
      high |= (bits >> 2 & 3) << kPlanes.pairs_up();
    }
    if (kPlanes.singles) {
      unsigned bits = 0;
      if (const int64_t last = blocks % kChunkBlocks; b < blocks - last) {
        bits = chunk[kPlanes.singles_at() + j] >> (2 * in_chunk);
      } else {
        const uint8_t* own = chunk + 16 * last + 4 * in_chunk;
        bits = (own[j / 8] >> (j % 8) & 1) | (own[j / 8 + 2] >> (j % 8) & 1) << 1;
      }
      low |= (bits & 1) << kPlanes.singles_up();
      high |= (bits >> 1 & 1) << kPlanes.singles_up();
    }
    codes[j] = static_cast<uint8_t>(low);
    codes[j + kBlock / 2] = static_cast<uint8_t>(high);
  }
}

// A chunk, or the last one of a row, from the codes of its n blocks.
template <Planes kPlanes>
void write_codes(const uint8_t* codes, int n, uint8_t* chunk) {
  // Bits from `up` on of values j and j + 16 of block b, next to each other.
  const auto both = [codes](int b, int j, int up, int bits) {
    const unsigned mask = (1u << bits) - 1, low = codes[kBlock * b + j] >> up & mask;
    return low | (codes[kBlock * b + j + kBlock / 2] >> up & mask) << bits;
  };
  const auto tail = kPlanes.singles && n < kChunkBlocks ? 16 * n : 0;
  for (int j = 0; j < kBlock / 2; ++j) {
    unsigned pairs[2] = {}, singles = 0;
    for (int b = 0; b < n; ++b) {
      if (kPlanes.nibbles) chunk[16 * b + j] = static_cast<uint8_t>(both(b, j, 0, 4));
      if (kPlanes.pairs) pairs[b / 2] |= both(b, j, kPlanes.pairs_up(), 2) << (4 * (b % 2));
      if (kPlanes.singles) singles |= both(b, j, kPlanes.singles_up(), 1) << (2 * b);
    }
    for (int k = 0; k < 2 && kPlanes.pairs; ++k) {
      chunk[kPlanes.pairs_at() + 16 * k + j] = static_cast<uint8_t>(pairs[k]);
    }
    if (kPlanes.singles && tail == 0) {
      chunk[kPlanes.singles_at() + j] = static_cast<uint8_t>(singles);
    }
  }
  for (int b = 0; b < n && tail != 0; ++b) {
    for (int byte = 0; byte < 4; ++byte) {
      unsigned bits = 0;
      for (int i = 0; i < 8; ++i) {
        bits |= (codes[kBlock * b + 8 * byte + i] >> kPlanes.singles_up() & 1u) << i;
      }
      chunk[tail + 4 * b + byte] = static_cast<uint8_t>(bits);
    }
  }
}

}  // namespace st
