// Down matrices whose rows are outputs, regrouped by neuron, so that what a neuron that is off adds
// need not be read. Nothing is rounded.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/matrix.h"

namespace st {

// How a type is regrouped.
struct Regrouping {
  // The quants of outputs [c, c + 32) and neurons [32 b, 32 b + 32) go to q, all of those of the
  // matrix.
  void (*regroup)(const std::byte* blocks, int64_t D, int64_t F, int64_t c, int64_t b, uint8_t* q);
  int64_t (*column_place)(int64_t in_tile);
};
extern const Regrouping kRegroupQ4_0, kRegroupQ8_0;

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
