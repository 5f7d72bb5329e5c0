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

}  // namespace st
