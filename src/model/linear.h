// y = W x for weights of any type: picks the kernel, prepares the activations, shares the rows out.
#pragma once

#include <cstdint>
#include <span>

#include "base/aligned.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "tensor/matrix.h"

namespace st {

// Activations in the forms kernels want: x (may be null if only q8 is used) and q8, if prepared.
// Many tokens are multiplied tile by tile, the few that are left over row by row.
struct Activations {
  int64_t tokens = 0;
  int64_t cols = 0;
  const float* x = nullptr;  // (tokens, cols)
  int64_t tiled = 0;         // tokens [0, tiled) are in `tiles` ...
  Q8Tiles tiles{};
  Q8Rows rows{};  // ... and tokens [tiled, tokens) are here
};

// How many of `tokens` are worth a place in a tile: the last one may be half empty.
int64_t tiled_tokens(const KernelTable& kernels, int64_t tokens);

// Room for quantised activations of `tokens` tokens and up to `cols` columns, in `groups` groups
// that each fill tiles of their own. Throws Error(kInvalidData) for more than there is room for.
class Q8Buffer {
 public:
  Q8Buffer(int64_t tokens, int64_t cols, int64_t groups = 1);

  // What that takes, and what this one has taken.
  static uint64_t bytes(int64_t tokens, int64_t cols, int64_t groups);
  uint64_t bytes() const;

  // Quantises x (tokens, cols) as rows; parallel over tokens.
  Q8Rows quantize(const KernelTable& kernels, ThreadPool& pool, const float* x, int64_t tokens,
                  int64_t cols);

  // Tiles and rows for rows index[0..tokens) of `from`; `first` and `group`, how many tokens and
  // groups come before. Null: rows [first, first + tokens) of `from`, this buffer's own. Groups may
  // be packed concurrently.
  Activations pack(const KernelTable& kernels, const Q8Rows& from, const int32_t* index,
                   int64_t first, int64_t group, int64_t tokens, int64_t cols);

  // The same for all of `from`, which must be this buffer's own rows; parallel over tiles.
  Activations pack(const KernelTable& kernels, ThreadPool& pool, const Q8Rows& from, int64_t tokens,
                   int64_t cols);

 private:
  void check(int64_t tokens, int64_t cols) const;
  void check_tiles(int64_t lanes, int64_t cols) const;
  Q8Tiles tiles(const KernelTable& kernels, int64_t tile, int64_t cols);

  AlignedBuffer<int8_t> q_, tile_q_;
  AlignedBuffer<float> d_, tile_d_;
  AlignedBuffer<int32_t> sum_, tile_sum_, half_sum_, tile_half_sum_;
};

// y[t * y_stride + r - begin] = W[r] . x[t] for begin <= r < end, on the calling thread.
void linear_rows(const KernelTable& kernels, const Matrix& w, int64_t begin, int64_t end,
                 const Activations& in, float* y, int64_t y_stride);

// y[t * y_stride + i] = W[index[i]] . x[t] for i < count, on the calling thread. in: no tiles.
void linear_indexed(const KernelTable& kernels, const Matrix& w, const int32_t* index,
                    int64_t count, const Activations& in, float* y, int64_t y_stride);

// Weights that share one input, and where their products go.
struct Projection {
  const Matrix& w;     // (rows, cols)
  std::span<float> y;  // (tokens, rows), or larger
};

// y = x W^T for each projection of x (tokens, cols), on all threads at once. Throws
// Error(kInvalidData) where x, y or the buffer have no room for that.
void linear(const KernelTable& kernels, ThreadPool& pool, std::span<const float> x, int64_t tokens,
            std::span<const Projection> projections, Q8Buffer& buffer);

// y[c] = sum_i h[i] * W[index[i]][c] for begin <= c < end and i < count, on the calling thread; see
// WeightFormat::sum_rows.
void linear_sum_rows(const KernelTable& kernels, const Matrix& w, const int32_t* index,
                     const float* h, int64_t count, int64_t begin, int64_t end, bool cached,
                     float* y);

}  // namespace st
