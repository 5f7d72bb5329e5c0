// Dot products of blocks by dot4() and dot_q8() of the including file, which take four bytes a
// lane. What a file has in place of this one:
//
//   kTileRun         bytes of a token side by side in a tile of block-gemm-inl.h
//   kDotRows         rows that its GEMM multiplies at a time; beside this one, from the vocabulary
//   WordSum          with add_words() and total()
//   CodeDots<most>   with dot(), dot_block(), dot_half() and dot_tiles(), for weights of 0..most;
//                    where kWordHalves says so, with sum_halves() in place of dot_half(): lane
//                    4 i + r has both halves' sums of block i of row r, as words added to `start`
//   ByteDots         the same for weights of -128..127
//
// Each has its own name, Dots. CodeDots and ByteDots come from the file either way.
#pragma once

#include "kernels/generic/tile-block-inl.h"
#include "tensor/blocks.h"

namespace st {
namespace {

constexpr int kTileRun = 4;

// Sums of products of 16-bit words; pairs of them share a lane.
using WordSum = VecI;
ST_INLINE void add_words(WordSum& sum, Bytes a, Bytes b) {
  VecI s = dot2(sum, a, b);
  hide(s);  // else GCC adds in another order and runs out of registers
  sum = s;
}
ST_INLINE VecI total(WordSum sum) { return sum; }

template <auto dot_four>
struct DotsByFour {
  using Dots = DotsByFour;
  static constexpr bool kWordHalves = false;

  // Products of w and x in groups of four bytes, added to the lanes of v.
  ST_INLINE static VecI dot(VecI v, Bytes w, Bytes x) { return dot_four(v, w, x); }

  // Products of both halves of blocks, added to lanes of v that belong to the same block.
  ST_INLINE static VecI dot_block(VecI v, Bytes low, Bytes high, Bytes x_low, Bytes x_high) {
    return dot(dot(v, low, x_low), high, x_high);
  }

  // Products of one half of blocks, likewise.
  ST_INLINE static VecI dot_half(VecI v, Bytes w, Bytes x) { return dot(v, w, x); }

  // Products of a block of each row of weights with V tiles of tokens, added to dots[row][tile],
  // whose lanes are tokens; vectors [kBegin, kEnd) of tiles. u: 32 bytes of each row; xs: as
  // pack_tiles() lays them out.
  template <int kBegin, int kEnd, int R, int V>
  ST_INLINE static void dot_tiles(const uint8_t* const (&u)[R], const TileBlock (&xs)[V],
                                  VecI (&dots)[R][V]) {
    for (int k = kBegin; k < kEnd; ++k) {
      for (int r = 0; r < R; ++r) {
        const Bytes ws = splat_quad(u[r] + 4 * k);
        for (int v = 0; v < V; ++v) dots[r][v] = dot(dots[r][v], ws, xs[v][k]);
      }
    }
  }
};

}  // namespace
}  // namespace st
