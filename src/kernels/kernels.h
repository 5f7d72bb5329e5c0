// The hot arithmetic, one table of functions per instruction set.
//
// A table is picked once, when an engine is made, and passed down as `const KernelTable&`. Kernels
// are pure: no allocation, no globals, no exceptions. Each output is accumulated in an order that
// depends on nothing but `cols` (or `n`), so results do not change with the number of rows, tokens
// or threads a call is split into. Different tables may differ in the last bits.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "tensor/blocks.h"

namespace st {

// Activation rows quantised for integer dot products, blocks of 32 values along a row:
// x[t][c] ~= d[t][c / 32] * q[t][c], |q| <= 127.
struct Q8Rows {
  const int8_t* q;     // (tokens, cols)
  const float* d;      // (tokens, cols / 32)
  const int32_t* sum;  // (tokens, cols / 32): sum of q over the block, for weights with an offset
};

struct KernelTable {
  std::string_view name;  // "avx2"
  uint64_t needs;         // CpuFeature bits

  // y[t * y_stride + r] = sum_c w[r][c] * x[t][c] for r < rows, t < tokens.
  // w: (rows, cols) row-major. x: (tokens, cols) row-major.
  void (*gemm_f32)(const float* w, int64_t rows, const float* x, int64_t tokens, int64_t cols,
                   float* y, int64_t y_stride);
  void (*gemm_f16)(const uint16_t* w, int64_t rows, const float* x, int64_t tokens, int64_t cols,
                   float* y, int64_t y_stride);
  void (*gemm_bf16)(const uint16_t* w, int64_t rows, const float* x, int64_t tokens, int64_t cols,
                    float* y, int64_t y_stride);
  // REQUIRES: cols is a multiple of 32.
  void (*gemm_q8_0)(const BlockQ8_0* w, int64_t rows, const Q8Rows& x, int64_t tokens, int64_t cols,
                    float* y, int64_t y_stride);
  void (*gemm_q4_0)(const BlockQ4_0* w, int64_t rows, const Q8Rows& x, int64_t tokens, int64_t cols,
                    float* y, int64_t y_stride);

  // y[i] += a * w[i] for i < n; w is a row, or a run of whole blocks of one.
  void (*axpy_f32)(float a, const float* w, int64_t n, float* y);
  void (*axpy_f16)(float a, const uint16_t* w, int64_t n, float* y);
  void (*axpy_bf16)(float a, const uint16_t* w, int64_t n, float* y);
  void (*axpy_q8_0)(float a, const BlockQ8_0* w, int64_t n, float* y);
  void (*axpy_q4_0)(float a, const BlockQ4_0* w, int64_t n, float* y);

  // Quantises one row: per block of 32, d = max|x| / 127, q = round half away from zero of x / d
  // (computed as x * (1 / d)), sum = sum of q. All q are 0 where 1 / d is 0 or not finite: in
  // blocks of zeros, for d below 2^-128, and beside an infinity or a NaN, which then shows in d.
  // The same bits from every table. REQUIRES: n % 32 == 0.
  void (*quantize_q8)(const float* x, int64_t n, int8_t* q, float* d, int32_t* sum);

  // Nearest, ties to even; the same bits from every table.
  void (*f32_to_f16)(const float* x, int64_t n, uint16_t* y);

  // y[i] = weight[i] * x[i] / sqrt(mean(x^2) + eps). y may be x.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* y);

  // x[i] = exp(x[i] - max(x)) / sum, in place. REQUIRES: n >= 1 and max(x) is finite.
  void (*softmax)(float* x, int64_t n);

  // For measuring the machine: nothing but integer dot products, as fast as they go, returning how
  // many multiply-adds that were; and nothing but reading memory, in steps of up to 512 bytes.
  int64_t (*peak_int8)(int64_t iterations);
  void (*read_all)(const void* p, int64_t bytes);
};

// Tables compiled into this binary that this CPU can run, best first; the last is "scalar".
std::span<const KernelTable* const> usable_kernels();

// The best table, or the one called `force`. Throws Error(kInvalidUsage) naming the usable ones
// when `force` is unknown or needs features this CPU lacks.
const KernelTable& pick_kernels(std::string_view force = {});

}  // namespace st
