// What the tests of kernels share: weights and activations at random, and how calls fit together.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/kernels.h"
#include "support/random_blocks.h"
#include "tensor/blocks.h"
#include "tensor/dtype.h"
#include "tensor/layout.h"
#include "tensor/matrix.h"

namespace st::testkit {

inline constexpr DType kFloatTypes[] = {DType::kF32, DType::kF16, DType::kBF16};
inline constexpr DType kBlockTypes[] = {DType::kQ8_0,  DType::kQ4_0,   DType::kQ4_1,  DType::kQ5_0,
                                        DType::kQ5_1,  DType::kIQ4_NL, DType::kMXFP4, DType::kQ2_K,
                                        DType::kQ3_K,  DType::kQ4_K,   DType::kQ5_K,  DType::kQ6_K,
                                        DType::kIQ4_XS};
inline constexpr DType kTypes[] = {DType::kF32,    DType::kF16,   DType::kBF16, DType::kQ8_0,
                                   DType::kQ4_0,   DType::kQ4_1,  DType::kQ5_0, DType::kQ5_1,
                                   DType::kIQ4_NL, DType::kMXFP4, DType::kQ2_K, DType::kQ3_K,
                                   DType::kQ4_K,   DType::kQ5_K,  DType::kQ6_K, DType::kIQ4_XS};

inline bool is_float(DType type) { return dtype_info(type).block_values == 1; }

template <typename T>
const T* as(const std::byte* p) {
  return reinterpret_cast<const T*>(p);
}

// The half-precision scales of a matrix that has no others, to be changed.
inline uint16_t* scales_of(const Matrix& w) {
  return const_cast<uint16_t*>(reinterpret_cast<const uint16_t*>(w.quant_rows().scales));
}

// Random bits with sane exponents; block scales are often zero, subnormal, negative or the largest.
struct Weights {
  std::vector<std::byte> bytes;
  Matrix matrix;
  std::vector<float> values;  // (rows, cols), decoded from the form of a file
  std::vector<float> sizes;   // (rows, cols): of the terms of each, code and base

  // fill: what all bytes of quants and packed scales are, if that is one of 0..255.
  Weights(DType type, int64_t rows, int64_t cols, unsigned seed, int fill = -1) {
    std::mt19937 random(seed);
    const DTypeInfo& info = dtype_info(type);
    std::vector<std::byte> file(static_cast<size_t>(rows) *
                                row_bytes(type, static_cast<uint64_t>(cols)));
    for (std::byte& b : file) b = static_cast<std::byte>(fill < 0 ? random() : unsigned(fill));
    for (size_t block = 0; block < file.size(); block += info.block_bytes) {
      for (const size_t place : scale_places(type)) set_scale(type, &file[block + place], random);
    }
    // Two bytes in, so that nothing is aligned better than its elements need; floats at four.
    const size_t offset = type == DType::kF32 ? 4 : 2;
    bytes.resize(file.size() + offset);
    matrix = {type, rows, cols, bytes.data() + offset};
    values.resize(static_cast<size_t>(rows * cols));
    info.decode(file.data(), rows * cols, values.data());
    if (info.split == nullptr) {
      std::ranges::copy(file, bytes.begin() + static_cast<int64_t>(offset));
      sizes = values;
      return;
    }
    split_rows(type, file.data(), 0, rows, rows, cols, bytes.data() + offset);
    for (int64_t i = 0; i < rows * cols; i += kBlock) {
      const DecodedBlock block = read_block(matrix, i / cols, i % cols / kBlock);
      for (int k = 0; k < kBlock; ++k) {
        const int half = k / (kBlock / 2);
        sizes.push_back(std::fabs(block.scale[half] * static_cast<float>(block.code[k])) +
                        std::fabs(block.base[half]));
      }
    }
  }

 private:
  static void set_scale(DType type, std::byte* to, std::mt19937& random) {
    if (type == DType::kF32) {
      const float v = std::ldexp(static_cast<float>(random() % 2000) - 1000.0f, -10);
      std::memcpy(to, &v, 4);
      return;
    }
    const bool special = !is_float(type) && random() % 4 == 0;
    if (type == DType::kMXFP4) {
      constexpr uint8_t kExponents[] = {0, 1, 2, 180};
      *to = static_cast<std::byte>(special ? kExponents[random() % 4] : 115 + random() % 20);
      return;
    }
    constexpr uint16_t kScales[] = {0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0xBC00};
    auto v = static_cast<uint16_t>(random());
    if (type == DType::kBF16) v = static_cast<uint16_t>((v & 0x80FF) | (0x3D00 + v % 4 * 0x80));
    if (type != DType::kBF16) v = static_cast<uint16_t>((v & 0x83FF) | (8 + v % 8) << 10);
    if (special) v = kScales[random() % 6];
    std::memcpy(to, &v, 2);
  }
};

inline double value(const Weights& w, int64_t r, int64_t c) {
  return w.values[static_cast<size_t>(r * w.matrix.cols + c)];
}
// What rounding errors are measured by.
inline double size_of(const Weights& w, int64_t r, int64_t c) {
  return std::fabs(w.sizes[static_cast<size_t>(r * w.matrix.cols + c)]);
}

struct Activations {
  int64_t tokens, cols;
  std::vector<float> x;  // (tokens, cols), what the float kernels see
  std::vector<int8_t> q;
  std::vector<float> d;
  std::vector<int32_t> sum, half_sum;

  Activations(int64_t token_count, int64_t column_count, unsigned seed)
      : tokens(token_count), cols(column_count) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < tokens * cols; ++i) {
      x.push_back(i % 37 == 0 ? -0.0f : normal(random));
      q.push_back(static_cast<int8_t>(static_cast<int>(random() % 255) - 127));
    }
    for (int64_t b = 0; b < tokens * cols / kBlock; ++b) {
      d.push_back(b % 11 == 0 ? 0.0f : std::fabs(normal(random)) / 127);
      if (b % 5 == 0) std::fill_n(&q[static_cast<size_t>(b * kBlock)], kBlock, int8_t{127});
    }
    add_up();
  }

  // The sums of q, to be called after a change.
  void add_up() {
    sum.assign(d.size(), 0);
    half_sum = sum;
    for (size_t i = 0; i < d.size() * kBlock; ++i) {
      sum[i / kBlock] += q[i];
      if (i % kBlock < kBlock / 2) half_sum[i / kBlock] += q[i];
    }
  }

  // From token t on.
  Q8Rows rows(int64_t t = 0) const {
    return Q8Rows{q.data(), d.data(), sum.data(), half_sum.data()}.rows_from(t, cols);
  }

  double value(DType type, int64_t t, int64_t c) const {
    const auto i = static_cast<size_t>(t * cols + c);
    return is_float(type) ? double{x[i]} : double{d[i / kBlock]} * q[i];
  }
};

// Tiles of the first tokens or of those in index, unpacked rows: as linear.cc does it.
inline void multiply_tiles(const KernelTable& k, const Matrix& w, int64_t r0, int64_t rows,
                           const Q8Rows& x, int64_t tokens, float* y, int64_t y_stride,
                           const int32_t* index = nullptr) {
  const int64_t padded = (w.cols + 127) / 128 * 128;
  const auto lanes =
      static_cast<size_t>((tokens + k.tile_tokens - 1) / k.tile_tokens * k.tile_tokens * padded);
  std::vector<int8_t> q(lanes, 99);
  std::vector<float> d(lanes / kBlock, 99);
  std::vector<int32_t> sum(lanes / kBlock, 99), half_sum(lanes / kBlock, 99);
  const Q8Tiles tiles = {q.data(), d.data(), sum.data(), half_sum.data()};
  k.pack_tiles(x, index, tokens, w.cols, tiles);
  std::vector<uint8_t> u(static_cast<size_t>(kUnpackedRows * padded));
  std::vector<float> scale(kUnpackedNumbers * u.size() / kBlock), base(scale.size());
  const UnpackedRows unpacked = {u.data(), scale.data(), base.data()};
  for (int64_t r = 0; r < rows; r += kUnpackedRows) {
    const int64_t n = std::min(kUnpackedRows, rows - r);
    k.format(w.type).unpack(w.quant_rows(r0 + r), n, w.cols, unpacked);
    k.format(w.type).gemm(unpacked, n, tiles, tokens, w.cols, y + r, y_stride);
  }
}

// By tiles when `tokens` is even, by rows when it is odd: so each is held against the other.
inline void multiply_blocks(const KernelTable& k, const Matrix& w, int64_t r0, int64_t rows,
                            const Q8Rows& x, int64_t tokens, float* y, int64_t y_stride) {
  if (k.tile_tokens > 0 && tokens % 2 == 0) {
    return multiply_tiles(k, w, r0, rows, x, tokens, y, y_stride);
  }
  k.format(w.type).gemv(w.quant_rows(r0), nullptr, rows, x, tokens, w.cols, y, y_stride);
}

// Rows r0 .. r0 + rows of w against tokens t0 .. t0 + tokens of x.
inline void gemm(const KernelTable& k, const Matrix& w, int64_t r0, int64_t rows,
                 const Activations& x, int64_t t0, int64_t tokens, float* y, int64_t y_stride) {
  const WeightFormat& format = k.format(w.type);
  if (!format.wants_q8()) {
    const float* xs = x.x.data() + t0 * w.cols;
    return format.gemm_float(w.row(r0), rows, xs, tokens, w.cols, y, y_stride);
  }
  multiply_blocks(k, w, r0, rows, x.rows(t0), tokens, y, y_stride);
}

inline void axpy(const KernelTable& k, float a, const Matrix& w, int64_t first, int64_t n,
                 float* y) {
  k.format(w.type).axpy(a, w.data + row_bytes(w.type, static_cast<uint64_t>(first)), n, y);
}

inline void sum_rows(const KernelTable& k, const Matrix& w, const std::vector<int32_t>& index,
                     const std::vector<float>& h, int64_t begin, int64_t end, float* y,
                     bool cached = false) {
  k.format(w.type).sum_rows(w.quant_rows(), index.data(), h.data(),
                            static_cast<int64_t>(index.size()), w.cols, begin, end, cached, y);
}

}  // namespace st::testkit
