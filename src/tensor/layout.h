// From blocks as they lie in a file to the layouts that kernels read. Nothing is rounded.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/matrix.h"

namespace st {

struct Regrouping;  // tensor/regroup.h

// A block of 32 values of a split matrix: value i is scale[i / 16] * code[i] + base[i / 16]. Bases
// of types without are -0, which changes nothing.
struct DecodedBlock {
  int8_t code[kBlock];
  float scale[2], base[2];
};

// Where block `block` of a row of `blocks` blocks of 32 values is.
struct RowPlace {
  const uint8_t* q;       // of the row
  const uint8_t* scales;  // of the row
  int64_t block, blocks;

  int64_t super_block() const { return block * kBlock / kSuperBlock; }
  int64_t super_blocks() const { return blocks * kBlock / kSuperBlock; }
  int in_super_block() const { return static_cast<int>(block % (kSuperBlock / kBlock)); }
};

// How a type is split. Its quants are planes of codes (tensor/planes.h) or, with 8 bits, bytes.
//
// Scales of a row, d, m: half precision. "All d" are those of the row, in order:
//   Q4_0, Q5_0, Q8_0, IQ4_NL  all d, one for each block
//   Q4_1, Q5_1                all d, then all m
//   MXFP4                     all e, a byte for each block
//   Q4_K, Q5_K                16 bytes for each super-block, as in a file
//   IQ4_XS                    8 bytes for each super-block, as in a file
//   Q6_K                      16 bytes for each super-block, then all d
//   Q3_K                      12 bytes for each super-block, then all d
//   Q2_K                      16 bytes for each super-block, then all d and dmin in turn
struct SplitLayout {
  int bits;  // of a value, without scales

  // A row of `cols` values from the blocks of a file. Its quants may come where the blocks are, or
  // before; its scales not.
  void (*split_row)(const std::byte* blocks, int64_t cols, uint8_t* q, uint8_t* scales);
  void (*read)(const RowPlace& at, DecodedBlock& out);
  void (*read_codes)(const RowPlace& at, DecodedBlock& out);  // without scales
  // Whether all scales and minimums of a row are finite numbers.
  bool (*finite)(const uint8_t* scales, int64_t cols);
  const Regrouping* regrouping;  // null: such matrices cannot be regrouped

  // Bytes of a row's quants.
  int64_t quant_bytes(int64_t cols) const { return cols * bits / 8; }
};
extern const SplitLayout kSplitQ4_0, kSplitQ4_1, kSplitQ5_0, kSplitQ5_1, kSplitQ8_0, kSplitIQ4_NL,
    kSplitMXFP4, kSplitQ2_K, kSplitQ3_K, kSplitQ4_K, kSplitQ5_K, kSplitQ6_K, kSplitIQ4_XS;

// REQUIRES for all with a type: is_split(type).

// Rows [first, first + count) of a matrix (rows, cols), whose blocks are at `blocks`, go to their
// place in its split form at `out`.
void split_rows(DType type, const std::byte* blocks, int64_t first, int64_t count, int64_t rows,
                int64_t cols, std::byte* out);

// The same of a whole matrix, where `out` is the memory that its blocks lie in, at or before
// `blocks`: no copy of them is made.
void split_in_place(DType type, const std::byte* blocks, int64_t rows, int64_t cols,
                    std::byte* out);

// Whether all scales and minimums of rows [first, first + count) of a split matrix are numbers,
// and none is infinite.
bool scales_are_finite(const Matrix& matrix, int64_t first, int64_t count);

// The values of columns [32 b, 32 b + 32) of row r of a split matrix.
DecodedBlock read_block(const Matrix& matrix, int64_t r, int64_t b);

}  // namespace st
