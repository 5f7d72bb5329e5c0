#include "model/linear.h"

#include <algorithm>
#include <vector>

#include "quant/quantize.h"

namespace st {
namespace {

// Rows a thread takes at a time: enough to fill a cache line of outputs and the kernels' tiles.
constexpr int64_t kRowGrain = 16;

template <typename T>
const T* as(const std::byte* p) {
  return reinterpret_cast<const T*>(p);
}

}  // namespace

Q8Buffer::Q8Buffer(int64_t values)
    : q_(static_cast<size_t>(values)),
      d_(static_cast<size_t>(values / kBlock + 1)),
      sum_(static_cast<size_t>(values / kBlock + 1)) {}

Q8Rows Q8Buffer::quantize(const KernelTable& kernels, ThreadPool& pool, const float* x,
                          int64_t tokens, int64_t cols) {
  const int64_t blocks = cols / kBlock;
  pool.parallel_for(
      tokens, 1,
      [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          kernels.quantize_q8(x + t * cols, cols, q_.data() + t * cols, d_.data() + t * blocks,
                              sum_.data() + t * blocks);
        }
      },
      4 * tokens * cols);
  return {q_.data(), d_.data(), sum_.data()};
}

Q8Rows Q8Buffer::gather(ThreadPool& pool, const Q8Rows& from, const int32_t* index, int64_t tokens,
                        int64_t cols) {
  const int64_t blocks = cols / kBlock;
  pool.parallel_for(
      tokens, 64,
      [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          std::copy_n(from.q + index[t] * cols, cols, q_.data() + t * cols);
          std::copy_n(from.d + index[t] * blocks, blocks, d_.data() + t * blocks);
          std::copy_n(from.sum + index[t] * blocks, blocks, sum_.data() + t * blocks);
        }
      },
      tokens * cols);
  return {q_.data(), d_.data(), sum_.data()};
}

bool wants_q8(DType type) { return type == DType::kQ4_0 || type == DType::kQ8_0; }

Activations Activations::rows(int64_t begin, int64_t end) const {
  Activations part{
      .x = x == nullptr ? nullptr : x + begin * cols, .tokens = end - begin, .cols = cols};
  if (q8.q != nullptr) {
    const int64_t block = begin * (cols / kBlock);
    part.q8 = {q8.q + begin * cols, q8.d + block, q8.sum + block};
  }
  return part;
}

void linear_rows(const KernelTable& kernels, const Matrix& w, int64_t begin, int64_t end,
                 const Activations& in, float* y, int64_t y_stride) {
  const std::byte* rows = w.row(begin);
  const int64_t n = end - begin;
  switch (w.type) {
    case DType::kF32:
      return kernels.gemm_f32(as<float>(rows), n, in.x, in.tokens, w.cols, y, y_stride);
    case DType::kF16:
      return kernels.gemm_f16(as<uint16_t>(rows), n, in.x, in.tokens, w.cols, y, y_stride);
    case DType::kBF16:
      return kernels.gemm_bf16(as<uint16_t>(rows), n, in.x, in.tokens, w.cols, y, y_stride);
    case DType::kQ8_0:
      return kernels.gemm_q8_0(as<BlockQ8_0>(rows), n, in.q8, in.tokens, w.cols, y, y_stride);
    case DType::kQ4_0:
      return kernels.gemm_q4_0(as<BlockQ4_0>(rows), n, in.q8, in.tokens, w.cols, y, y_stride);
    default: {  // types without a kernel of their own: decode a row, use it for all tokens
      std::vector<float> row(static_cast<size_t>(w.cols));
      for (int64_t r = begin; r < end; ++r) {
        dequantize_row(w.type, w.row(r), w.cols, row.data());
        kernels.gemm_f32(row.data(), 1, in.x, in.tokens, w.cols, y + (r - begin), y_stride);
      }
    }
  }
}

void project(const KernelTable& kernels, ThreadPool& pool, const float* x, int64_t tokens,
             int64_t cols, std::span<const Projection> projections, Q8Buffer& buffer) {
  Activations in{.x = x, .tokens = tokens, .cols = cols};
  int64_t rows = 0;
  for (const Projection& p : projections) {
    rows += p.w.rows;
    if (wants_q8(p.w.type) && in.q8.q == nullptr) {
      in.q8 = buffer.quantize(kernels, pool, x, tokens, cols);
    }
  }
  // The rows of all projections as one range, so that small ones do not cost a barrier each.
  pool.parallel_for(
      rows, kRowGrain,
      [&](int64_t begin, int64_t end) {
        for (const Projection& p : projections) {
          const int64_t first = std::clamp<int64_t>(begin, 0, p.w.rows);
          const int64_t last = std::clamp<int64_t>(end, 0, p.w.rows);
          if (first < last) linear_rows(kernels, p.w, first, last, in, p.y + first, p.w.rows);
          begin -= p.w.rows;
          end -= p.w.rows;
        }
      },
      rows * cols * tokens);
}

void axpy_row(const KernelTable& kernels, const Matrix& w, int64_t row, int64_t begin,
              int64_t count, float a, float* y) {
  const std::byte* p = w.row(row) + row_bytes(w.type, static_cast<uint64_t>(begin));
  switch (w.type) {
    case DType::kF32:
      return kernels.axpy_f32(a, as<float>(p), count, y);
    case DType::kF16:
      return kernels.axpy_f16(a, as<uint16_t>(p), count, y);
    case DType::kBF16:
      return kernels.axpy_bf16(a, as<uint16_t>(p), count, y);
    case DType::kQ8_0:
      return kernels.axpy_q8_0(a, as<BlockQ8_0>(p), count, y);
    case DType::kQ4_0:
      return kernels.axpy_q4_0(a, as<BlockQ4_0>(p), count, y);
    default: {
      std::vector<float> part(static_cast<size_t>(count));
      dequantize_row(w.type, p, count, part.data());
      kernels.axpy_f32(a, part.data(), count, y);
    }
  }
}

}  // namespace st
