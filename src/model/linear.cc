#include "model/linear.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/round.h"
#include "tensor/quantize.h"

namespace st {
namespace {

// Rows a thread takes at a time: a whole number of what kernels unpack together, or of the tiles of
// weights in floating point. Those are few: routers.
constexpr int64_t kRowGrain = kUnpackedRows;
constexpr int64_t kFloatRowGrain = 8;

// Reading a byte of weights takes as long as so many multiply-adds.
constexpr int64_t kMultiplyAddsPerByte = 2;

int64_t padded(int64_t cols) { return round_up(cols, 128); }

// Values of a Q8Buffer, and of its tiles: groups may leave all but one place of their last empty.
int64_t row_values(int64_t tokens, int64_t cols) { return tokens * round_up(cols, kBlock); }
int64_t tile_values(int64_t tokens, int64_t cols, int64_t groups) {
  return (tokens + groups * kMaxTileTokens) * padded(cols);
}

// Sizes come from a file: what is wrong with one must not go further than here.
void check_room(std::string_view what, int64_t need, size_t have) {
  if (static_cast<size_t>(need) <= have) return;
  fail(ErrorCode::kInvalidData, "a projection needs room for {} values {}, there is room for {}",
       need, what, have);
}

template <typename T>
AlignedBuffer<T> room(int64_t n) {
  return AlignedBuffer<T>(static_cast<size_t>(n));
}

// Unpacks rows a few at a time and multiplies all tiles with them.
void multiply_tiles(const WeightFormat& format, const Matrix& w, int64_t begin, int64_t end,
                    const Activations& in, float* y, int64_t y_stride) {
  // One buffer per thread, as large as its widest matrix needs; a pool's threads live long.
  thread_local AlignedBuffer<uint8_t> bytes;
  thread_local AlignedBuffer<float> scales, bases;
  const auto need = static_cast<size_t>(kUnpackedRows * padded(w.cols));
  if (bytes.size() < need) {
    bytes = AlignedBuffer<uint8_t>(need);
    scales = AlignedBuffer<float>(kUnpackedNumbers * need / kBlock);
    bases = AlignedBuffer<float>(scales.size());
  }
  const UnpackedRows rows{bytes.data(), scales.data(), bases.data()};
  for (int64_t r = begin; r < end; r += kUnpackedRows) {
    const int64_t n = std::min(kUnpackedRows, end - r);
    format.unpack(w.quant_rows(r), n, w.cols, rows);
    format.gemm(rows, n, in.tiles, in.tiled, w.cols, y + (r - begin), y_stride);
  }
}

void multiply_q8(const WeightFormat& format, const Matrix& w, int64_t begin, int64_t end,
                 const Activations& in, float* y, int64_t y_stride) {
  if (in.tiled > 0) multiply_tiles(format, w, begin, end, in, y, y_stride);
  if (in.tiled == in.tokens) return;
  format.gemv(w.quant_rows(begin), nullptr, end - begin, in.rows, in.tokens - in.tiled, w.cols,
              y + in.tiled * y_stride, y_stride);
}

// Decodes a row and uses it for all tokens.
void multiply_decoded(const KernelTable& kernels, const Matrix& w, int64_t begin, int64_t end,
                      const Activations& in, float* y, int64_t y_stride) {
  const auto gemm = kernels.format(DType::kF32).gemm_float;
  std::vector<float> row(static_cast<size_t>(w.cols));
  for (int64_t r = begin; r < end; ++r) {
    dequantize_row(w, r, row.data());
    gemm(std::as_bytes(std::span(row)).data(), 1, in.x, in.tokens, w.cols, y + (r - begin),
         y_stride);
  }
}

}  // namespace

int64_t tiled_tokens(const KernelTable& kernels, int64_t tokens) {
  const int64_t tile = kernels.tile_tokens;
  if (tile == 0) return 0;
  const int64_t rest = tokens % tile;
  return rest < tile / 2 ? tokens - rest : tokens;
}

Q8Buffer::Q8Buffer(int64_t tokens, int64_t cols, int64_t groups)
    : q_(room<int8_t>(row_values(tokens, cols))),
      tile_q_(room<int8_t>(tile_values(tokens, cols, groups))),
      d_(q_.size() / kBlock),
      tile_d_(tile_q_.size() / kBlock),
      sum_(q_.size() / kBlock),
      tile_sum_(tile_q_.size() / kBlock),
      half_sum_(q_.size() / kBlock),
      tile_half_sum_(tile_q_.size() / kBlock) {}

uint64_t Q8Buffer::bytes(int64_t tokens, int64_t cols, int64_t groups) {
  const int64_t values = row_values(tokens, cols) + tile_values(tokens, cols, groups);
  return static_cast<uint64_t>(values + values / kBlock * 12);
}

uint64_t Q8Buffer::bytes() const {
  return q_.size() + tile_q_.size() + 4 * (d_.size() + tile_d_.size()) +
         4 * (sum_.size() + tile_sum_.size()) + 4 * (half_sum_.size() + tile_half_sum_.size());
}

void Q8Buffer::check(int64_t tokens, int64_t cols) const {
  check_room("in 8 bits", tokens * cols, q_.size());
}

void Q8Buffer::check_tiles(int64_t lanes, int64_t cols) const {
  check_room("in tiles", lanes * padded(cols), tile_q_.size());
}

Q8Rows Q8Buffer::quantize(const KernelTable& kernels, ThreadPool& pool, const float* x,
                          int64_t tokens, int64_t cols) {
  check(tokens, cols);
  const int64_t blocks = cols / kBlock;
  pool.parallel_for(
      tokens, 1,
      [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          kernels.quantize_q8(x + t * cols, cols, q_.data() + t * cols, d_.data() + t * blocks,
                              sum_.data() + t * blocks, half_sum_.data() + t * blocks);
        }
      },
      4 * tokens * cols);
  return {q_.data(), d_.data(), sum_.data(), half_sum_.data()};
}

Q8Tiles Q8Buffer::tiles(const KernelTable& kernels, int64_t tile, int64_t cols) {
  const int64_t first = tile * kernels.tile_tokens * padded(cols), block = first / kBlock;
  return {tile_q_.data() + first, tile_d_.data() + block, tile_sum_.data() + block,
          tile_half_sum_.data() + block};
}

Activations Q8Buffer::pack(const KernelTable& kernels, const Q8Rows& from, const int32_t* index,
                           int64_t first, int64_t group, int64_t tokens, int64_t cols) {
  const int64_t blocks = cols / kBlock;
  Activations in{.tokens = tokens, .cols = cols, .tiled = tiled_tokens(kernels, tokens)};
  check(first + tokens, cols);
  if (in.tiled > 0) {
    const int64_t tile = first / kernels.tile_tokens + group;
    check_tiles(tile * kernels.tile_tokens + round_up(in.tiled, kernels.tile_tokens), cols);
    in.tiles = tiles(kernels, tile, cols);
    const Q8Rows rows = from.rows_from(index == nullptr ? first : 0, cols);
    kernels.pack_tiles(rows, index, in.tiled, cols, in.tiles);
  }
  for (int64_t t = in.tiled; index != nullptr && t < tokens; ++t) {
    const int64_t to = first + t;
    std::copy_n(from.q + index[t] * cols, cols, q_.data() + to * cols);
    std::copy_n(from.d + index[t] * blocks, blocks, d_.data() + to * blocks);
    std::copy_n(from.sum + index[t] * blocks, blocks, sum_.data() + to * blocks);
    std::copy_n(from.half_sum + index[t] * blocks, blocks, half_sum_.data() + to * blocks);
  }
  const Q8Rows all = {q_.data(), d_.data(), sum_.data(), half_sum_.data()};
  in.rows = all.rows_from(first + in.tiled, cols);
  return in;
}

Activations Q8Buffer::pack(const KernelTable& kernels, ThreadPool& pool, const Q8Rows& from,
                           int64_t tokens, int64_t cols) {
  Activations in{.tokens = tokens, .cols = cols, .tiled = tiled_tokens(kernels, tokens)};
  if (in.tiled > 0) {
    check_tiles(round_up(in.tiled, kernels.tile_tokens), cols);
    in.tiles = tiles(kernels, 0, cols);
    pool.parallel_for(
        in.tiled, kernels.tile_tokens,
        [&](int64_t begin, int64_t end) {
          kernels.pack_tiles(from.rows_from(begin, cols), nullptr, end - begin, cols,
                             tiles(kernels, begin / kernels.tile_tokens, cols));
        },
        in.tiled * cols);
  }
  in.rows = from.rows_from(in.tiled, cols);
  return in;
}

void linear_rows(const KernelTable& kernels, const Matrix& w, int64_t begin, int64_t end,
                 const Activations& in, float* y, int64_t y_stride) {
  const WeightFormat& format = kernels.format(w.type);
  if (format.wants_q8()) return multiply_q8(format, w, begin, end, in, y, y_stride);
  if (format.gemm_float == nullptr) {
    return multiply_decoded(kernels, w, begin, end, in, y, y_stride);
  }
  format.gemm_float(w.row(begin), end - begin, in.x, in.tokens, w.cols, y, y_stride);
}

void linear_indexed(const KernelTable& kernels, const Matrix& w, const int32_t* index,
                    int64_t count, const Activations& in, float* y, int64_t y_stride) {
  const WeightFormat& format = kernels.format(w.type);
  if (format.wants_q8()) {
    return format.gemv(w.quant_rows(), index, count, in.rows, in.tokens, w.cols, y, y_stride);
  }
  for (int64_t i = 0; i < count;) {  // runs of neighbours
    const int64_t first = i++;
    while (i < count && index[i] == index[i - 1] + 1) ++i;
    linear_rows(kernels, w, index[first], index[i - 1] + 1, in, y + first, y_stride);
  }
}

void linear(const KernelTable& kernels, ThreadPool& pool, std::span<const float> x, int64_t tokens,
            std::span<const Projection> projections, Q8Buffer& buffer) {
  const int64_t cols = projections.front().w.cols;
  Activations in{.tokens = tokens, .cols = cols};
  int64_t rows = 0, bytes = 0;
  check_room("of x", tokens * cols, x.size());
  for (const Projection& p : projections) {
    check_room("of y", tokens * p.w.rows, p.y.size());
    rows += p.w.rows;
    bytes += static_cast<int64_t>(p.w.bytes());
    if (kernels.format(p.w.type).wants_q8() && in.rows.q == nullptr) {
      const Q8Rows quantised = buffer.quantize(kernels, pool, x.data(), tokens, cols);
      in = buffer.pack(kernels, pool, quantised, tokens, cols);
    }
  }
  in.x = x.data();
  // The rows of all projections as one range, so that small ones do not cost a barrier each.
  pool.parallel_for(
      rows, in.rows.q != nullptr ? kRowGrain : kFloatRowGrain,
      [&](int64_t begin, int64_t end) {
        for (const Projection& p : projections) {
          const int64_t first = std::clamp<int64_t>(begin, 0, p.w.rows);
          const int64_t last = std::clamp<int64_t>(end, 0, p.w.rows);
          if (first < last)
            linear_rows(kernels, p.w, first, last, in, p.y.data() + first, p.w.rows);
          begin -= p.w.rows;
          end -= p.w.rows;
        }
      },
      std::max(rows * cols * tokens, kMultiplyAddsPerByte * bytes));
}

void linear_sum_rows(const KernelTable& kernels, const Matrix& w, const int32_t* index,
                     const float* h, int64_t count, int64_t begin, int64_t end, bool cached,
                     float* y) {
  const WeightFormat& format = kernels.format(w.type);
  if (format.sum_rows != nullptr) {
    return format.sum_rows(w.quant_rows(), index, h, count, w.cols, begin, end, cached, y);
  }
  std::fill(y + begin, y + end, 0.0f);
  if (format.axpy != nullptr) {
    const uint64_t at = row_bytes(w.type, static_cast<uint64_t>(begin));
    for (int64_t i = 0; i < count; ++i) {
      format.axpy(h[i], w.row(index[i]) + at, end - begin, y + begin);
    }
    return;
  }
  std::vector<float> part(static_cast<size_t>(end - begin));
  for (int64_t i = 0; i < count; ++i) {
    dequantize_row(w, index[i], begin, end - begin, part.data());
    kernels.axpy(h[i], part.data(), end - begin, y + begin);
  }
}

}  // namespace st
