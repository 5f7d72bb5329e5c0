// From blocks as they lie in a file to the layouts that kernels read. Nothing is rounded.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/matrix.h"

namespace st {

// How a type is split that has blocks of 32 values: a scale of two bytes comes first in a file,
// then the quants. Those functions of a type that those below call, in the same order.
struct SplitLayout {
  void (*split)(const std::byte* blocks, int64_t first, int64_t count, int64_t all, std::byte* out);
  void (*split_in_place)(const std::byte* blocks, int64_t count, std::byte* out);
  // Null: such matrices cannot be regrouped. The quants of outputs [c, c + 32) and neurons [32 b,
  // 32 b + 32) go to q, all of those of the matrix.
  void (*regroup)(const std::byte* blocks, int64_t D, int64_t F, int64_t c, int64_t b, uint8_t* q);
  int64_t (*column_place)(int64_t in_tile);
};
extern const SplitLayout kSplitQ4_0, kSplitQ8_0;
inline constexpr size_t kMostSplitBytes = 2 * kBlock;  // of a block, at most

// REQUIRES for all with a type: is_split(type).

// Blocks [first, first + count) of a matrix (rows, cols) go to their place in its split form at
// `out`.
void split_blocks(DType type, const std::byte* blocks, int64_t first, int64_t count, int64_t rows,
                  int64_t cols, std::byte* out);

// The same of a whole matrix of `count` blocks, where `out` is the memory that they lie in, at or
// before `blocks`: no copy of them is made.
void split_blocks_in_place(DType type, const std::byte* blocks, int64_t count, std::byte* out);

// The block of 32 values at (r, 32 b) of a split matrix, as in a file. out: block_bytes.
void join_block(const Matrix& matrix, int64_t r, int64_t b, std::byte* out);

// A down matrix (D, F) of blocks along F, regrouped by neuron: row j of the quants
// (F, D) is column j of the matrix, packed along D as blocks are. The scales (F / 32, padded D)
// follow; each belongs to 32 neurons of one output, and they are in the order in which
// KernelTable::sum_columns holds its sums (see column_place).
struct NeuronRows {
  const uint8_t* q;   // (F, D / 2) for Q4_0, (F, D) for Q8_0
  const uint16_t* d;  // (F / 32, padded D)
};
inline constexpr int64_t kColumnTile = 128;
constexpr int64_t padded_columns(int64_t cols) {
  return (cols + kColumnTile - 1) / kColumnTile * kColumnTile;
}
bool can_regroup(DType type, int64_t D, int64_t F);  // of any type
uint64_t neuron_rows_bytes(DType type, int64_t D, int64_t F);
NeuronRows neuron_rows(const Matrix& regrouped);  // as (F, D)

// Place of the scale of output c.
int64_t column_place(DType type, int64_t c);

// blocks: (D, F / 32). out: neuron_rows_bytes. REQUIRES: can_regroup(type, D, F).
void regroup_by_neuron(DType type, const std::byte* blocks, int64_t D, int64_t F, std::byte* out);

}  // namespace st
