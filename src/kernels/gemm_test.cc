// Every table against sums in double precision computed here, and against itself split up.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/kernels.h"
#include "tensor/dtype.h"
#include "tensor/float16.h"
#include "tensor/matrix.h"

namespace st {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0};

bool is_float(DType type) { return dtype_info(type).block_values == 1; }

template <typename T>
const T* as(const std::byte* p) {
  return reinterpret_cast<const T*>(p);
}

double value(const Matrix& w, int64_t r, int64_t c) {
  const std::byte* row = w.row(r);
  const int64_t b = c / kBlock, i = c % kBlock;
  switch (w.type) {
    case DType::kF32:
      return as<float>(row)[c];
    case DType::kF16:
      return f16_to_f32(as<uint16_t>(row)[c]);
    case DType::kBF16:
      return bf16_to_f32(as<uint16_t>(row)[c]);
    case DType::kQ8_0: {
      const BlockQ8_0& block = as<BlockQ8_0>(row)[b];
      return double{f16_to_f32(block.d)} * block.qs[i];
    }
    default: {
      const BlockQ4_0& block = as<BlockQ4_0>(row)[b];
      const int nibble = i < 16 ? block.qs[i] & 15 : block.qs[i - 16] >> 4;
      return double{f16_to_f32(block.d)} * (nibble - 8);
    }
  }
}

// Random bits with sane exponents; block scales are often zero, subnormal, negative or the largest.
struct Weights {
  std::vector<std::byte> bytes;
  Matrix matrix;

  Weights(DType type, int64_t rows, int64_t cols, unsigned seed) {
    // Two bytes in, so that nothing is aligned better than its elements need; floats at four.
    const size_t offset = type == DType::kF32 ? 4 : 2;
    bytes.resize(static_cast<size_t>(rows) * row_bytes(type, static_cast<uint64_t>(cols)) + offset);
    matrix = {type, rows, cols, bytes.data() + offset};
    std::mt19937 random(seed);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    const DTypeInfo& info = dtype_info(type);
    for (size_t i = offset; i < bytes.size(); i += info.block_bytes) {
      if (type == DType::kF32) {
        const float v = std::ldexp(static_cast<float>(random() % 2000) - 1000.0f, -10);
        std::memcpy(&bytes[i], &v, 4);
      } else {
        constexpr uint16_t kScales[] = {0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0xBC00};
        auto v = static_cast<uint16_t>(random());
        if (type == DType::kBF16) v = static_cast<uint16_t>((v & 0x80FF) | (0x3D00 + v % 4 * 0x80));
        if (type != DType::kBF16) v = static_cast<uint16_t>((v & 0x83FF) | (8 + v % 8) << 10);
        if (!is_float(type) && random() % 4 == 0) v = kScales[random() % 6];
        std::memcpy(&bytes[i], &v, 2);
      }
    }
  }
};

struct Activations {
  int64_t tokens, cols;
  std::vector<float> x;  // (tokens, cols), what the float kernels see
  std::vector<int8_t> q;
  std::vector<float> d;
  std::vector<int32_t> sum;

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
      int32_t total = 0;
      for (int64_t i = 0; i < kBlock; ++i) total += q[static_cast<size_t>(b * kBlock + i)];
      sum.push_back(total);
    }
  }

  double value(DType type, int64_t t, int64_t c) const {
    const auto i = static_cast<size_t>(t * cols + c);
    return is_float(type) ? double{x[i]} : double{d[i / kBlock]} * q[i];
  }
};

// Rows r0 .. r0 + rows of w against tokens t0 .. t0 + tokens of x.
void gemm(const KernelTable& k, const Matrix& w, int64_t r0, int64_t rows, const Activations& x,
          int64_t t0, int64_t tokens, float* y, int64_t y_stride) {
  const std::byte* p = w.row(r0);
  const float* xs = x.x.data() + t0 * w.cols;
  const int64_t b = t0 * w.cols / kBlock;
  const Q8Rows q = {x.q.data() + b * kBlock, x.d.data() + b, x.sum.data() + b};
  switch (w.type) {
    case DType::kF32:
      return k.gemm_f32(as<float>(p), rows, xs, tokens, w.cols, y, y_stride);
    case DType::kF16:
      return k.gemm_f16(as<uint16_t>(p), rows, xs, tokens, w.cols, y, y_stride);
    case DType::kBF16:
      return k.gemm_bf16(as<uint16_t>(p), rows, xs, tokens, w.cols, y, y_stride);
    case DType::kQ8_0:
      return k.gemm_q8_0(as<BlockQ8_0>(p), rows, q, tokens, w.cols, y, y_stride);
    default:
      return k.gemm_q4_0(as<BlockQ4_0>(p), rows, q, tokens, w.cols, y, y_stride);
  }
}

class Gemm : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& k = *GetParam();

  void check(const Weights& weights, const Activations& x, int64_t y_stride) {
    const Matrix& w = weights.matrix;
    constexpr float kUntouched = -77;
    std::vector<float> y(static_cast<size_t>(x.tokens * y_stride), kUntouched);
    gemm(k, w, 0, w.rows, x, 0, x.tokens, y.data(), y_stride);
    for (int64_t t = 0; t < x.tokens; ++t) {
      for (int64_t r = 0; r < y_stride; ++r) {
        const float actual = y[static_cast<size_t>(t * y_stride + r)];
        if (r >= w.rows) {
          ASSERT_EQ(actual, kUntouched);
          continue;
        }
        double expected = 0, size = 0;
        for (int64_t c = 0; c < w.cols; ++c) {
          const double product = value(w, r, c) * x.value(w.type, t, c);
          expected += product;
          size += std::fabs(product);
        }
        // Float rounding per term of one lane, plus a few for scales and the final sum.
        const double bound = size * 0x1p-24 * (static_cast<double>(w.cols) / 8 + 8);
        ASSERT_NEAR(actual, expected, bound + 1e-37)
            << k.name << ' ' << dtype_name(w.type) << ' ' << w.rows << 'x' << w.cols << " row " << r
            << " token " << t << " of " << x.tokens;
      }
    }
  }
};

TEST_P(Gemm, MatchesDoublePrecision) {
  unsigned seed = 0;
  for (DType type : kTypes) {
    for (int64_t cols : {1, 7, 8, 15, 16, 17, 31, 32, 33, 64, 96, 100, 257, 288, 2560}) {
      if (!is_float(type) && cols % kBlock != 0) continue;
      for (int64_t rows = 1; rows <= 17; ++rows) {
        const int64_t tokens = 1 + ++seed % 9;
        check(Weights(type, rows, cols, seed), Activations(tokens, cols, seed), rows + seed % 3);
      }
    }
  }
}

TEST_P(Gemm, EveryShapeOfTile) {
  for (DType type : kTypes) {
    for (int64_t tokens = 1; tokens <= 9; ++tokens) {
      const int64_t cols = is_float(type) ? 45 : 64;
      check(Weights(type, 13, cols, 5), Activations(tokens, cols, 6), 13);
    }
  }
}

// With unit scales nothing is rounded: the integer sums must be exact.
TEST_P(Gemm, IntegerSumsAreExact) {
  constexpr int64_t kBlocks = 8;
  Activations x(3, kBlocks * kBlock, 1);
  for (size_t i = 0; i < x.q.size(); ++i) {
    const int64_t t = static_cast<int64_t>(i) / x.cols;  // all +127, all -127, alternating
    x.q[i] = static_cast<int8_t>(t == 0 || (t == 2 && i % 2) ? 127 : -127);
  }
  for (size_t b = 0; b < x.d.size(); ++b) {
    x.d[b] = 1;
    x.sum[b] = 0;
    for (size_t i = 0; i < kBlock; ++i) x.sum[b] += x.q[b * kBlock + i];
  }
  // Row r is filled with byte r: all nibble pairs, all weights from -128 to 127.
  std::vector<BlockQ4_0> q4(256 * kBlocks);
  std::vector<BlockQ8_0> q8(256 * kBlocks);
  for (size_t i = 0; i < q4.size(); ++i) {
    q4[i].d = q8[i].d = 0x3C00;
    std::memset(q4[i].qs, static_cast<int>(i / kBlocks), sizeof q4[i].qs);
    std::memset(q8[i].qs, static_cast<int>(i / kBlocks), sizeof q8[i].qs);
  }
  for (DType type : {DType::kQ4_0, DType::kQ8_0}) {
    const void* data = type == DType::kQ4_0 ? static_cast<void*>(q4.data()) : q8.data();
    const Matrix w = {type, 256, x.cols, static_cast<const std::byte*>(data)};
    std::vector<float> y(3 * 256);
    gemm(k, w, 0, 256, x, 0, 3, y.data(), 256);
    for (int64_t t = 0; t < 3; ++t) {
      for (int64_t r = 0; r < 256; ++r) {
        double expected = 0;
        for (int64_t c = 0; c < w.cols; ++c) expected += value(w, r, c) * x.value(type, t, c);
        ASSERT_EQ(y[static_cast<size_t>(t * 256 + r)], expected) << r << ' ' << t;
      }
    }
  }
}

TEST_P(Gemm, EqualRowsGiveEqualBits) {
  for (DType type : kTypes) {
    const Weights one(type, 1, 96, 3);
    const uint64_t stride = one.matrix.stride();
    Weights many(type, 17, 96, 4);
    auto* data = const_cast<std::byte*>(many.matrix.data);
    for (uint64_t r = 0; r < 17; ++r) std::memcpy(data + r * stride, one.matrix.data, stride);
    const Activations x(1, 96, 7);
    std::vector<float> y(17);
    gemm(k, many.matrix, 0, 17, x, 0, 1, y.data(), 17);
    for (float v : y)
      EXPECT_EQ(std::bit_cast<uint32_t>(v), std::bit_cast<uint32_t>(y[0])) << dtype_name(type);
  }
}

TEST_P(Gemm, BitsDoNotDependOnTheSplit) {
  constexpr int64_t kRows = 13, kTokens = 9;
  for (DType type : kTypes) {
    const int64_t cols = is_float(type) ? 100 : 96;
    const Weights w(type, kRows, cols, 8);
    const Activations x(kTokens, cols, 9);
    std::vector<float> whole(kRows * kTokens), part(kRows * kTokens);
    gemm(k, w.matrix, 0, kRows, x, 0, kTokens, whole.data(), kRows);
    for (int64_t r0 = 0; r0 < kRows; ++r0) {
      for (int64_t rows = 1; r0 + rows <= kRows; ++rows) {
        for (int64_t t0 = 0; t0 < kTokens; ++t0) {
          // A quantised activation row is found by its block, so any token can be the first.
          for (int64_t tokens = 1; t0 + tokens <= kTokens; ++tokens) {
            gemm(k, w.matrix, r0, rows, x, t0, tokens, part.data(), rows);
            for (int64_t t = 0; t < tokens; ++t) {
              ASSERT_EQ(std::memcmp(&part[static_cast<size_t>(t * rows)],
                                    &whole[static_cast<size_t>((t0 + t) * kRows + r0)],
                                    static_cast<size_t>(rows) * sizeof(float)),
                        0)
                  << k.name << ' ' << dtype_name(type) << " rows " << r0 << '+' << rows
                  << " tokens " << t0 << '+' << tokens;
            }
          }
        }
      }
    }
  }
}

void axpy(const KernelTable& k, float a, const Matrix& w, int64_t first, int64_t n, float* y) {
  const std::byte* p = w.data + row_bytes(w.type, static_cast<uint64_t>(first));
  switch (w.type) {
    case DType::kF32:
      return k.axpy_f32(a, as<float>(p), n, y);
    case DType::kF16:
      return k.axpy_f16(a, as<uint16_t>(p), n, y);
    case DType::kBF16:
      return k.axpy_bf16(a, as<uint16_t>(p), n, y);
    case DType::kQ8_0:
      return k.axpy_q8_0(a, as<BlockQ8_0>(p), n, y);
    default:
      return k.axpy_q4_0(a, as<BlockQ4_0>(p), n, y);
  }
}

TEST_P(Gemm, AxpyMatchesDoublePrecision) {
  unsigned seed = 0;
  for (DType type : kTypes) {
    for (int64_t n = 1; n <= 160; ++n) {
      if (!is_float(type) && n % kBlock != 0) continue;
      const Weights w(type, 1, n, ++seed);
      const Activations x(1, n + 1, seed);
      std::vector<float> y = x.x;
      const float a = x.x[static_cast<size_t>(n)];
      axpy(k, a, w.matrix, 0, n, y.data());
      for (int64_t i = 0; i < n; ++i) {
        const double before = x.x[static_cast<size_t>(i)], added = a * value(w.matrix, 0, i);
        ASSERT_NEAR(y[static_cast<size_t>(i)], before + added,
                    (std::fabs(before) + 2 * std::fabs(added)) * 0x1p-23 + 1e-37)
            << k.name << ' ' << dtype_name(type) << ' ' << i << " of " << n;
      }
      EXPECT_EQ(y.back(), a);  // nothing written beyond

      std::vector<float> halves = x.x;
      const int64_t middle = is_float(type) ? n / 3 : n / 2 / kBlock * kBlock;
      axpy(k, a, w.matrix, 0, middle, halves.data());
      axpy(k, a, w.matrix, middle, n - middle, halves.data() + middle);
      ASSERT_EQ(std::memcmp(y.data(), halves.data(), y.size() * sizeof(float)), 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, Gemm, testing::ValuesIn(usable_kernels()),
                         [](const auto& table) { return std::string(table.param->name); });

}  // namespace
}  // namespace st
