// Down matrices whose rows are outputs, regrouped by neuron, so that what a neuron that is off adds
// need not be read. Nothing is rounded.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/matrix.h"

namespace st {

// A down matrix (D, F) of blocks along F, regrouped by neuron: row j of the quants (F, D) is column
// j of the matrix, its codes packed along D as those of any row are (tensor/planes.h). Scales
// follow, those that the type has, in this order. V is the number of values in a block of the file;
// S, of those that share a scale within a super-block: 32, or 16 for Q6_K, Q3_K and Q2_K. Within
// each row of scales outputs are in the order in which KernelTable::sum_columns holds its sums (see
// column_place).
struct NeuronRows {
  const uint8_t* q;    // (F, D)
  const uint16_t* d;   // (F / V, padded D) half precision; not of MXFP4
  const uint16_t* m;   // (F / V, padded D) the same of minimums: Q4_1, Q5_1, Q4_K, Q5_K, Q2_K
  const uint8_t* sub;  // (F / S, padded D) of super-blocks; with a sign, but for Q4_K, Q5_K and
                       // Q2_K, which has minimums above scales. The exponents of MXFP4
  const uint8_t* sub_mins;  // (F / S, padded D) of Q4_K and Q5_K
};
inline constexpr int64_t kColumnTile = 128;
constexpr int64_t padded_columns(int64_t cols) {
  return (cols + kColumnTile - 1) / kColumnTile * kColumnTile;
}

// What the scales within super-blocks are; MXFP4 has nothing but exponents.
enum class SubScales : uint8_t { kNone, kSigned, kWithMins, kPacked, kExponents };

struct ScalePlaces;  // in a regrouped matrix

// How a type is regrouped.
struct Regrouping {
  SubScales sub;
  int64_t sub_values;  // S
  bool has_m;
  // The scales of an output, from its n blocks at `row` to `place` in each row of scales.
  void (*put_scales)(const std::byte* row, int64_t n, int64_t place, const ScalePlaces& places,
                     uint8_t* out);
  // Of a block in a file, where its quants begin if they lie there as in memory; else -1.
  int64_t quants_at;
  // The quants of outputs [c, c + n), n a multiple of 32, at most a tile, and neurons [32 b, 32 b +
  // 32). from: those of output c and these neurons, `step` bytes to those of the next output; of
  // codes that lie in chunks, of its whole row. q: all of a regrouped matrix (F, D).
  struct Part {
    const uint8_t* from;
    int64_t step;
    int64_t D, F, c, n, b;
  };
  void (*quants)(Part part, uint8_t* q);
};
extern const Regrouping kRegroupQ4_0, kRegroupQ4_1, kRegroupQ5_0, kRegroupQ5_1, kRegroupQ8_0,
    kRegroupIQ4_NL, kRegroupMXFP4, kRegroupQ2_K, kRegroupQ3_K, kRegroupQ4_K, kRegroupQ5_K,
    kRegroupQ6_K, kRegroupIQ4_XS;

bool can_regroup(DType type, int64_t D, int64_t F);  // of any type
uint64_t neuron_rows_bytes(DType type, int64_t D, int64_t F);
NeuronRows neuron_rows(const Matrix& regrouped);  // as (F, D)
// As scales_are_finite() of a split matrix.
bool neuron_scales_are_finite(const Matrix& regrouped);

// What is multiplied with the code of neuron j and output c, and taken from that.
struct ScaleAndMin {
  float scale, min;
};
ScaleAndMin neuron_scale(DType type, const NeuronRows& rows, int64_t j, int64_t c, int64_t D);

// Place of the scales of output c.
int64_t column_place(DType type, int64_t c);

// blocks: (D, F) as in a file. out: neuron_rows_bytes. REQUIRES: can_regroup(type, D, F).
void regroup_by_neuron(DType type, const std::byte* blocks, int64_t D, int64_t F, std::byte* out);

}  // namespace st
