// How weights of one type are multiplied: what a table has for the type, and all that the forward
// pass asks of it. So a type is one of these per instruction set, and its DTypeInfo.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/matrix.h"
#include "tensor/regroup.h"

namespace st {

// Activation rows quantised for integer dot products, blocks of 32 values along a row:
// x[t][c] ~= d[t][c / 32] * q[t][c], |q| <= 127.
struct Q8Rows {
  const int8_t* q;  // (tokens, cols)
  const float* d;   // (tokens, cols / 32)
  // For weights with an offset or a minimum, sums of q: over the block, and over its first half.
  const int32_t* sum;       // (tokens, cols / 32)
  const int32_t* half_sum;  // (tokens, cols / 32)

  // Those of tokens from `token` on.
  Q8Rows rows_from(int64_t token, int64_t cols) const {
    const int64_t block = token * (cols / kBlock);
    return {q + token * cols, d + block, sum + block, half_sum + block};
  }
};

// Quantised activations in the order a table's GEMM wants, tiles of `tile_tokens` tokens. Unused
// tokens of the last tile are zero. padded cols: the next multiple of 128.
struct Q8Tiles {
  int8_t* q;          // (tiles, padded cols, tile_tokens)
  float* d;           // (tiles, padded cols / 32, tile_tokens)
  int32_t* sum;       // (tiles, padded cols / 32, tile_tokens)
  int32_t* half_sum;  // (tiles, padded cols / 32, tile_tokens)
};

// Weight rows as bytes, in the order a table's GEMM wants.
struct UnpackedRows {
  uint8_t* u;           // (rows, padded cols)
  float *scale, *base;  // (kUnpackedNumbers, rows, cols / 32), rows rounded up to a multiple of 4
};

inline constexpr int64_t kUnpackedRows = 32;    // most rows that may be unpacked together
inline constexpr int64_t kUnpackedNumbers = 3;  // most that the scales of a block are

// Types take activations as floats (gemm_float, axpy) or as Q8 (the rest). What a type has no
// function for is done with its rows decoded to floats.
struct WeightFormat {
  DType type;

  // y[t * y_stride + r] = sum_c w[r][c] * x[t][c] for r < rows, t < tokens.
  // w: (rows, cols) as in a file. x: (tokens, cols) row-major.
  void (*gemm_float)(const std::byte* w, int64_t rows, const float* x, int64_t tokens, int64_t cols,
                     float* y, int64_t y_stride) = nullptr;

  // y[i] += a * w[i] for i < n.
  void (*axpy)(float a, const std::byte* w, int64_t n, float* y) = nullptr;

  // As gemm_float for split weights and few tokens, and rows index[0..rows) of w, or the first ones
  // if index is null. REQUIRES (for all below): cols is a multiple of 32.
  void (*gemv)(const QuantRows& w, const int32_t* index, int64_t rows, const Q8Rows& x,
               int64_t tokens, int64_t cols, float* y, int64_t y_stride) = nullptr;

  // The same for many tokens, bit for bit, in three steps: KernelTable::pack_tiles packs tiles once
  // per input, rows are unpacked once per micro-batch, then multiplied. Null in tables whose
  // tile_tokens is 0.
  void (*unpack)(const QuantRows& w, int64_t rows, int64_t cols, const UnpackedRows& out) = nullptr;
  void (*gemm)(const UnpackedRows& w, int64_t rows, const Q8Tiles& x, int64_t tokens, int64_t cols,
               float* y, int64_t y_stride) = nullptr;

  // y[c] = sum_i h[i] * W[index[i]][c] for begin <= c < end and i < count: what the active neurons
  // of an expert add to its output. The products of h with the scales of a column block are rounded
  // to 14 bits and a sign of the largest among them, 512 neurons at a time; the rest is exact.
  // cached: most of these rows have just been used, so nothing is fetched ahead of its use.
  // REQUIRES: begin is a multiple of 128, end too or it is cols.
  void (*sum_rows)(const QuantRows& w, const int32_t* index, const float* h, int64_t count,
                   int64_t cols, int64_t begin, int64_t end, bool cached, float* y) = nullptr;

  // The same for a down matrix regrouped by neuron, and h quantised: what the full matrix product
  // gives, with blocks of 32 neurons added in order. y[t * y_stride + c] for begin <= c < end and
  // t < tokens. h: (tokens, neurons); a neuron whose q is 0 adds nothing, and what only such ones
  // need may stay unread. Not null for a type that can be regrouped.
  // REQUIRES: begin is a multiple of 128, end too or it is cols.
  void (*sum_columns)(const NeuronRows& w, int64_t neurons, const Q8Rows& h, int64_t tokens,
                      int64_t cols, int64_t begin, int64_t end, float* y,
                      int64_t y_stride) = nullptr;

  bool wants_q8() const { return gemv != nullptr; }
};

}  // namespace st
