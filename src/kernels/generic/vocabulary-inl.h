// What a file in isa/ owes to the algorithms of this folder, which are written in these words. It
// includes this page first, defines what the page lists, in the anonymous namespace of st, and then
// includes table-inl.h. Two files may share their words: see x86-256-inl.h and neon-inl.h.
//
// A "part" is 128 bits of a vector: four lanes, 16 bytes. n is a number of values.
//
// Macros
//   ST_INLINE                    inline, whatever the compiler thinks
//
// Types and numbers
//   VecF, VecI                   vectors of kLanes floats or int32_t, with the operators of GCC
//   Bytes                        a vector of kBytes = 4 kLanes bytes, or half as many words
//   kTune                        a Tuning, below
//
// Floats and integers
//   splat(x)                     x in all lanes, float or int32_t
//   load(p, n = kLanes, rest)    the first n floats at p; `rest` or zero beyond, unread
//   load(p)                      kLanes int32_t
//   store(p, v, n = kLanes)      the first n lanes; what lies beyond is left alone
//   store_i8(p, v)               the lanes as bytes, and
//   store_i16(p, v)              as words; they are in range
//   fma(a, b, c)                 a b + c, rounded once
//   to_float(v), truncate(v)     between VecI and VecF
//   sum(v)                       of all lanes, always added in the same order
//   max_lane(v)                  of a VecI
//   hide(v)                      no instruction, but the compiler no longer knows what v holds
//   keep_order()                 the same: what follows is not loaded before, if that would spill
//   find_nonzero                 as in KernelTable; find-nonzero-inl.h has one without vectors
//   F32, F16, BF16               weights: Value, and load(p, n) as floats, zero beyond
//
// Bytes
//   load_bytes(p, n)             the first n bytes at p, zero beyond; n is a multiple of 16 and may
//                                be negative or more than kBytes
//   splat_quad(p)                the four bytes at p in all lanes
//   lanes_u8(p), lanes_i8(p)     kLanes bytes at p as int32_t
//   widen_i8(p)                  kBytes / 2 bytes at p as words
//   low_nibbles(v)               v & 15, and
//   high_nibbles(v)              v >> 4, byte by byte
//   mask_words(v, mask)          v & mask, and
//   shift_words<n>(v)            v >> n, word by word
//   low_bytes(v), high_bytes(v)  of each word, as a word, with its sign
//   look_up(table, v)            byte v of the table, a Bytes16, for each byte of 0..15
//   widen(quad, out), widen_signed(quad, out)   its bytes as int32_t, in order
//   widen_pairs(two, out)        the signed bytes of two Bytes16 as words, in order
//
// Planes of bits, tensor/planes.h
//   spread_pairs(plane, place)   in part i the bytes that have the pairs of block place + i, from
//                                bit 0 on; beyond those of the block there may be others
//   join_pairs<below>(v, plane, place, low, high)   codes of the blocks from `place` on: the lower
//                                `below` bits from v, which has those of low, then those of high
//                                in each byte, and a pair above; or
//   join_singles<below>(v, quad, place, low, high)   one bit
//
// Moves. Where parts are named, what is done to one is done to each.
//   split_halves(a, b, low, high)   a, b: kChains blocks of 32 bytes; all first and all second
//                                   halves, a part each
//   interleave(q[4])                rows of bytes: q[k] becomes bytes 4 k .. 4 k + 3 of each row,
//                                   a byte of each in turn
//   interleave_low_words(a, b)      words of a and b in turn, of the lower halves of parts
//   interleave_high_words(a, b)     ... of the upper halves
//   interleave_low(a, b)            the same of floats
//   interleave_high(a, b)
//   store_transposed(v, stride, rows, tokens, y, y_stride)   v: rows at steps of `stride` vectors,
//                                   lanes are tokens; y[t * y_stride + r]
//
// Blocks, kChains = kLanes / 4 of them in a vector, a part each
//   spread(p, n)                    value i < n at p in all lanes of part i; int32_t
//   spread(p, n, out)               the same of floats for the kTune.step_vecs vectors of a step
//   spread_negative(p, n, f, out)   the same of int32_t, times -f
//   spread_pair(p)                  values 0 and 1 in half of the lanes each, or value 0 in all
//                                   where a vector is one block of bytes, or less
//   sum_quads(a, b, c, d)           lane 4 i + r: the sum of part i of row r. Also of what
//                                   dot_block() and dot_half() return, if that is no VecI
//   repeat_halves(quad)             its first four half-precision numbers, in each part
//   scales(a, b, c, d, n, out)      out[s], lane 4 i + r: half-precision scale s kChains + i < n
//                                   of row r; zero beyond
//   sum_chains(v)                   the sum of the parts, four lanes
//   store_rows(y, four, n)          the first n of them, n <= 4 or more
//
// Products
//   dot2(v, a, b)                products of words, two to a lane, added to v
//   dot4(v, u, s)                products of bytes, four to a lane, added to v; u is 0..15, or what
//                                peak_int8() multiplies, 1
//   kQ8Offset, q8_weights(v)     what Q8_0 weights are stored with on top for ByteDots, and how
//   CodeDots<most>, ByteDots     how codes of 0..most, at most 63, and weights of Q8_0 meet
//                                activations: dot(), dot_block(), dot_half(), dot_tiles(), for
//                                kDotRows rows at a time
//   kTileRun, WordSum            how tiles lie, and sums of words: all of these are explained in
//                                dots-by-four-inl.h, which has some of them
#pragma once

#include <cstdint>

namespace st {
namespace {

using Bytes16 = uint8_t __attribute__((vector_size(16)));  // the bytes of a part

// What suits the CPUs of an instruction set; none of it changes a bit of a result.
struct Tuning {
  // Rows and tokens whose products with weights in floating point are summed in registers.
  int float_tile_rows, float_tile_tokens;
  // A tile's block of activations is loaded once for all rows, not where it is used: for sets of 32
  // registers.
  bool hold_tiles;
  // Groups of four rows that a GEMV of blocks works on at once.
  int gemv_groups;
  // Vectors of quants whose scales it loads together; 1: behind the quants.
  int step_vecs;
  // All vectors of a step are worked on in one piece, not only where that saves the work of telling
  // planes of bits apart.
  bool unroll_steps;
  // It keeps a pointer per row, instead of computing addresses from one.
  bool row_pointers;
  // Memory is asked for at every vector, a few lines each time, not many at every step.
  bool fetch_evenly;
  // The lines of one request are asked for without a test at each.
  bool fetch_bursts;
  // Runs of rows are fetched into the first-level cache, not the second.
  bool fetch_near;
  // Scales are fetched like quants, and what lies behind a run of rows, too.
  bool fetch_onward;
  // Pairs of rows that sum_rows adds up before it shifts their sums into place.
  int sum_pairs;
  // Sums of peak_int8() that fill the execution ports without spilling.
  int probe_sums;
  // Queries, and vectors of keys or channels, whose products are summed in registers.
  int attend_queries, attend_vecs;
};

}  // namespace
}  // namespace st
