// y = W x for weights of any type: picks the kernel, prepares the activations, shares the rows out.
#pragma once

#include <cstdint>
#include <span>

#include "base/aligned.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "tensor/matrix.h"

namespace st {

// Room for quantised activations of up to `values` values.
class Q8Buffer {
 public:
  explicit Q8Buffer(int64_t values);
  // Quantises x (tokens, cols) into this buffer; parallel over tokens.
  Q8Rows quantize(const KernelTable& kernels, ThreadPool& pool, const float* x, int64_t tokens,
                  int64_t cols);
  // Rows index[0..tokens) of `from` (., cols), copied in that order.
  Q8Rows gather(ThreadPool& pool, const Q8Rows& from, const int32_t* index, int64_t tokens,
                int64_t cols);

 private:
  AlignedBuffer<int8_t> q_;
  AlignedBuffer<float> d_;
  AlignedBuffer<int32_t> sum_;
};

// Whether weights of this type are multiplied with quantised activations.
bool wants_q8(DType type);

// Activations in the forms kernels want: x always (it may be null if only q8 is used), q8 if
// prepared.
struct Activations {
  const float* x = nullptr;  // (tokens, cols)
  int64_t tokens = 0;
  int64_t cols = 0;
  Q8Rows q8{};

  // Rows [begin, end).
  Activations rows(int64_t begin, int64_t end) const;
};

// y[t * y_stride + r - begin] = W[r] . x[t] for begin <= r < end, on the calling thread.
void linear_rows(const KernelTable& kernels, const Matrix& w, int64_t begin, int64_t end,
                 const Activations& in, float* y, int64_t y_stride);

// Weights that share one input, and where their products go.
struct Projection {
  const Matrix& w;  // (rows, cols)
  float* y;         // (tokens, rows)
};

// y = x W^T for each projection of x (tokens, cols), on all threads at once.
void project(const KernelTable& kernels, ThreadPool& pool, const float* x, int64_t tokens,
             int64_t cols, std::span<const Projection> projections, Q8Buffer& buffer);

// y[i] += a * row[begin + i] for i < count. REQUIRES: begin and count are multiples of the block
// size.
void axpy_row(const KernelTable& kernels, const Matrix& w, int64_t row, int64_t begin,
              int64_t count, float a, float* y);

}  // namespace st
