// Every table against sums in double precision computed here, and against itself split up.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/kernels.h"
#include "support/random_weights.h"
#include "tensor/blocks.h"
#include "tensor/dtype.h"
#include "tensor/float16.h"
#include "tensor/layout.h"
#include "tensor/matrix.h"
#include "tensor/quantize.h"

namespace st {
namespace {

using namespace testkit;

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
          const double by = x.value(w.type, t, c);
          expected += value(weights, r, c) * by;
          size += std::fabs(size_of(weights, r, c) * by);
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
    for (int64_t cols :
         {1, 7, 8, 15, 16, 17, 31, 32, 33, 64, 96, 100, 256, 257, 288, 416, 768, 2560}) {
      if (cols % dtype_info(type).block_values != 0) continue;
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
      const int64_t cols = is_float(type) ? 45 : std::max(64u, dtype_info(type).block_values);
      check(Weights(type, 13, cols, 5), Activations(tokens, cols, 6), 13);
    }
  }
}

// All +127, all -127, alternating: what sums of few bits must hold.
Activations extreme_activations(int64_t cols) {
  Activations x(3, cols, 1);
  for (size_t i = 0; i < x.q.size(); ++i) {
    const int64_t t = static_cast<int64_t>(i) / x.cols;
    x.q[i] = static_cast<int8_t>(t == 0 || (t == 2 && i % 2) ? 127 : -127);
  }
  for (size_t b = 0; b < x.d.size(); ++b) {
    x.d[b] = 1;
    x.sum[b] = x.half_sum[b] = 0;
    for (size_t i = 0; i < kBlock; ++i) {
      x.sum[b] += x.q[b * kBlock + i];
      if (i < kBlock / 2) x.half_sum[b] += x.q[b * kBlock + i];
    }
  }
  return x;
}

// All bytes of quants and packed scales alike, by rows and by tiles.
TEST_P(Gemm, ExtremeBlocks) {
  for (const DType type : kBlockTypes) {
    Activations x = extreme_activations(512);
    for (const int fill : {0, 0x0F, 0xF0, 0x33, 0xCC, 0x55, 0xAA, 0x7F, 0x80, 0x88, 0xFF}) {
      const Weights w(type, 7, 512, 3, fill);
      check(w, x, 7);
      x.tokens = 2;
      check(w, x, 7);
      x.tokens = 3;
    }
  }
}

// With unit scales nothing is rounded: the integer sums must be exact.
TEST_P(Gemm, IntegerSumsAreExact) {
  constexpr int64_t kBlocks = 8;
  const Activations x = extreme_activations(kBlocks * kBlock);
  // Row r is filled with byte r: all nibble pairs, all weights from -128 to 127.
  for (DType type : {DType::kQ4_0, DType::kQ8_0}) {
    Weights weights(type, 256, x.cols, 1);
    const Matrix& w = weights.matrix;
    const QuantRows rows = w.quant_rows();
    const int64_t row_quants = type == DType::kQ4_0 ? w.cols / 2 : w.cols;
    for (int64_t r = 0; r < 256; ++r) {
      std::memset(const_cast<uint8_t*>(rows.q) + r * row_quants, static_cast<int>(r),
                  static_cast<size_t>(row_quants));
    }
    std::fill_n(scales_of(w), 256 * kBlocks, uint16_t{0x3C00});
    for (int64_t r = 0; r < 256; ++r) {
      dequantize_row(w, r, weights.values.data() + r * w.cols);
    }
    std::vector<float> y(3 * 256);
    gemm(k, w, 0, 256, x, 0, 3, y.data(), 256);
    gemm(k, w, 0, 256, x, 0, 2, y.data(), 256);
    for (int64_t t = 0; t < 3; ++t) {
      for (int64_t r = 0; r < 256; ++r) {
        double expected = 0;
        for (int64_t c = 0; c < w.cols; ++c) expected += value(weights, r, c) * x.value(type, t, c);
        ASSERT_EQ(y[static_cast<size_t>(t * 256 + r)], expected) << r << ' ' << t;
      }
    }
  }
}

TEST_P(Gemm, EqualRowsGiveEqualBits) {
  for (DType type : kTypes) {
    const int64_t cols = is_float(type) ? 96 : std::max(96u, dtype_info(type).block_values);
    const Weights one(type, 1, cols, 3);
    Weights many(type, 17, cols, 4);
    auto* data = const_cast<std::byte*>(many.matrix.data);
    const DTypeInfo& info = dtype_info(type);
    const auto values = info.split == nullptr
                            ? one.matrix.stride()
                            : static_cast<uint64_t>(info.split->quant_bytes(cols));
    const uint64_t scales = one.matrix.stride() - values;
    for (uint64_t r = 0; r < 17; ++r) {
      std::memcpy(data + r * values, one.matrix.data, values);
      std::memcpy(data + 17 * values + r * scales, one.matrix.data + values, scales);
    }
    const Activations x(1, cols, 7);
    std::vector<float> y(17);
    gemm(k, many.matrix, 0, 17, x, 0, 1, y.data(), 17);
    for (float v : y)
      EXPECT_EQ(std::bit_cast<uint32_t>(v), std::bit_cast<uint32_t>(y[0])) << dtype_name(type);
  }
}

TEST_P(Gemm, BitsDoNotDependOnTheSplit) {
  constexpr int64_t kRows = 13, kTokens = 21;
  for (DType type : kTypes) {
    const int64_t step = type == DType::kF32 || type == DType::kQ4_0 ? 1 : 3;  // kinds of tiles
    const int64_t cols = is_float(type) ? 100 : dtype_info(type).block_values == kBlock ? 224 : 256;
    const Weights w(type, kRows, cols, 8);
    const Activations x(kTokens, cols, 9);
    std::vector<float> whole(kRows * kTokens), part(kRows * kTokens);
    gemm(k, w.matrix, 0, kRows, x, 0, kTokens, whole.data(), kRows);
    for (int64_t r0 = 0; r0 < kRows; ++r0) {
      for (int64_t rows = 1; r0 + rows <= kRows; rows += step) {
        for (int64_t t0 = 0; t0 < kTokens; ++t0) {
          // A quantised activation row is found by its block, so any token can be the first.
          for (int64_t tokens = 1; t0 + tokens <= kTokens; tokens += step) {
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

TEST_P(Gemm, AxpyMatchesDoublePrecision) {
  unsigned seed = 0;
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (int64_t n = 1; n <= 160; ++n) {
      const Weights w(type, 1, n, ++seed);
      const Activations x(1, n + 1, seed);
      std::vector<float> y = x.x;
      const float a = x.x[static_cast<size_t>(n)];
      axpy(k, a, w.matrix, 0, n, y.data());
      for (int64_t i = 0; i < n; ++i) {
        const double before = x.x[static_cast<size_t>(i)], added = a * value(w, 0, i);
        ASSERT_NEAR(y[static_cast<size_t>(i)], before + added,
                    (std::fabs(before) + 2 * std::fabs(added)) * 0x1p-23 + 1e-37)
            << k.name << ' ' << dtype_name(type) << ' ' << i << " of " << n;
      }
      EXPECT_EQ(y.back(), a);  // nothing written beyond

      std::vector<float> halves = x.x;
      const int64_t middle = n / 3;
      axpy(k, a, w.matrix, 0, middle, halves.data());
      axpy(k, a, w.matrix, middle, n - middle, halves.data() + middle);
      ASSERT_EQ(std::memcmp(y.data(), halves.data(), y.size() * sizeof(float)), 0);
    }
  }
}

// Any rows in any order are the rows one by one.
TEST_P(Gemm, IndexedRows) {
  for (DType type : kBlockTypes) {
    const int64_t cols = dtype_info(type).block_values == kBlock ? 160 : 512;
    const Weights w(type, 40, cols, 3);
    const Activations x(3, cols, 4);
    const Q8Rows q = x.rows();
    const auto gemv = k.format(type).gemv;
    std::vector<float> all(3 * 40);
    gemv(w.matrix.quant_rows(), nullptr, 40, q, 3, cols, all.data(), 40);
    std::mt19937 random(5);
    for (int64_t n = 1; n <= 20; ++n) {
      std::vector<int32_t> index(static_cast<size_t>(n));
      for (int32_t& i : index) i = static_cast<int32_t>(random() % 40);
      std::vector<float> y(static_cast<size_t>(3 * n));
      gemv(w.matrix.quant_rows(), index.data(), n, q, 3, cols, y.data(), n);
      for (size_t t = 0; t < 3; ++t) {
        for (size_t i = 0; i < index.size(); ++i) {
          const float want = all[t * 40 + static_cast<size_t>(index[i])];
          ASSERT_EQ(std::bit_cast<uint32_t>(y[t * index.size() + i]),
                    std::bit_cast<uint32_t>(want));
        }
      }
    }
  }
}

TEST_P(Gemm, SumRowsMatchesDoublePrecision) {
  std::mt19937 random(6);
  std::normal_distribution<float> normal;
  for (DType type : {DType::kQ8_0, DType::kQ4_0}) {
    for (int64_t cols : {32, 64, 96, 128, 160, 512, 544, 1056}) {
      for (size_t count : {0, 1, 3, 4, 5, 100, 511, 512, 513, 1100}) {
        Weights w(type, 1200, cols, static_cast<unsigned>(cols));
        for (int64_t i = 0; i < 1200 * cols / kBlock; ++i) {  // scales of one size, some zero
          scales_of(w.matrix)[i] =
              static_cast<uint16_t>(i % 9 == 0 ? 0 : 0x2C00 + random() % 0x400);
        }
        for (int64_t r = 0; r < 1200; ++r) {
          dequantize_row(w.matrix, r, w.values.data() + r * cols);
        }
        std::vector<int32_t> index(count);
        std::vector<float> h(count);
        for (size_t i = 0; i < count; ++i) {
          index[i] = static_cast<int32_t>(random() % 1200);
          h[i] = normal(random);
        }
        std::vector<float> y(static_cast<size_t>(cols) + 1, -77);
        sum_rows(k, w.matrix, index, h, 0, cols, y.data());
        EXPECT_EQ(y.back(), -77);
        for (int64_t c = 0; c < cols; ++c) {
          // Each term is off by half a unit, the largest product / 16383, times its quant.
          double want = 0, peak = 0, quants = 0;
          for (size_t i = 0; i < count; ++i) {
            const double term = h[i] * value(w, index[i], c);
            const double d = f16_to_f32(scales_of(w.matrix)[(index[i] * cols + c) / kBlock]);
            want += term;
            peak = std::max(peak, std::fabs(h[i] * d));
            quants += d == 0 ? 0 : std::fabs(term / (h[i] * d));
          }
          const double bound = peak / 16383 * 0.5001 * quants + std::fabs(want) * 1e-6;
          ASSERT_NEAR(y[static_cast<size_t>(c)], want, bound + 1e-30)
              << k.name << ' ' << dtype_name(type) << ' ' << cols << ' ' << count << ' ' << c;
        }
        // The same bits from any share of the columns, cached or not.
        std::vector<float> parts(static_cast<size_t>(cols) + 1, -77);
        for (int64_t c = 0; c < cols; c += 128) {
          sum_rows(k, w.matrix, index, h, c, std::min(cols, c + 128), parts.data(), true);
        }
        ASSERT_EQ(std::memcmp(parts.data(), y.data(), y.size() * sizeof(float)), 0);
      }
    }
  }
}

// What is not finite must not vanish.
TEST_P(Gemm, SumRowsShowsNan) {
  for (DType type : {DType::kQ8_0, DType::kQ4_0}) {
    const Weights w(type, 4, 64, 7);
    std::fill_n(scales_of(w.matrix), 8, uint16_t{0x3C00});
    for (const float bad : {std::nanf(""), HUGE_VALF}) {
      std::vector<float> y(64);
      sum_rows(k, w.matrix, {0, 2, 3}, {1, bad, 2}, 0, 64, y.data());
      int finite = 0;
      for (float v : y) finite += std::isfinite(v);
      EXPECT_LE(finite, bad == bad ? 12 : 0) << k.name;  // a weight of 0 times infinity may be 0
    }
  }
}

// A regrouped down matrix gives what the full matrix product with the same quantised h gives.
TEST_P(Gemm, SumColumnsMatchesDoublePrecision) {
  constexpr int64_t kF = 96;
  std::mt19937 random(8);
  for (DType type : {DType::kQ8_0, DType::kQ4_0}) {
    const auto block_bytes = static_cast<int64_t>(dtype_info(type).block_bytes);
    for (int64_t cols : {32, 64, 96, 128, 160, 544, 2144}) {
      // (cols, F) in the order of a file, and split, to be decoded here.
      std::vector<std::byte> blocks(static_cast<size_t>(cols * kF / kBlock * block_bytes));
      for (std::byte& b : blocks) b = static_cast<std::byte>(random());
      for (size_t i = 0; i < blocks.size(); i += static_cast<size_t>(block_bytes)) {
        const auto d = static_cast<uint16_t>(0x2C00 + random() % 0x400);
        std::memcpy(&blocks[i], &d, 2);
      }
      std::vector<std::byte> split(blocks.size());
      split_rows(type, blocks.data(), 0, cols, cols, kF, split.data());
      const Matrix down = {type, cols, kF, split.data()};
      std::vector<float> row(static_cast<size_t>(kF));
      std::vector<std::byte> regrouped(neuron_rows_bytes(type, cols, kF));
      regroup_by_neuron(type, blocks.data(), cols, kF, regrouped.data());
      const Matrix neurons = {type, kF, cols, regrouped.data()};

      Activations h(1, kF, static_cast<unsigned>(cols));
      for (int32_t j = 0; j < kF; ++j) {  // the second block is empty, the others are sparse
        if (j / kBlock == 1 || random() % 3 != 0) h.q[static_cast<size_t>(j)] = 0;
      }
      h.add_up();
      const auto sum = k.format(type).sum_columns;
      const auto call = [&](int64_t begin, int64_t end, float* y) {
        sum(neuron_rows(neurons), kF, h.rows(), 1, cols, begin, end, y, cols);
      };
      std::vector<float> y(static_cast<size_t>(cols) + 1, -77), parts = y;
      call(0, cols, y.data());
      EXPECT_EQ(y.back(), -77);
      for (int64_t c = 0; c < cols; ++c) {
        double want = 0, size = 0;
        dequantize_row(down, c, row.data());
        for (int64_t j = 0; j < kF; ++j) {
          const double term = row[static_cast<size_t>(j)] * h.value(type, 0, j);
          want += term;
          size += std::fabs(term);
        }
        ASSERT_NEAR(y[static_cast<size_t>(c)], want, size * 0x1p-21 + 1e-30)
            << k.name << ' ' << dtype_name(type) << ' ' << cols << ' ' << c;
      }
      for (int64_t c = 0; c < cols; c += 128) call(c, std::min(cols, c + 128), parts.data());
      ASSERT_EQ(std::memcmp(parts.data(), y.data(), y.size() * sizeof(float)), 0);
    }
  }
}

TEST_P(Gemm, FindNonzero) {
  const float nan = std::nanf("");
  std::mt19937 random(9);
  for (int64_t n = 0; n <= 70; ++n) {
    std::vector<float> x(static_cast<size_t>(n));
    std::vector<int32_t> want;
    for (size_t i = 0; i < x.size(); ++i) {
      const float choices[] = {0.0f, -0.0f, 1e-45f, -3, nan, 0.0f};
      x[i] = choices[random() % 6];
      if (x[i] != 0) want.push_back(static_cast<int32_t>(i) + 5);
    }
    std::vector<int32_t> index(x.size() + 16);
    std::vector<float> values(x.size() + 16);
    const int64_t found = k.find_nonzero(x.data(), n, 5, index.data(), values.data());
    index.resize(static_cast<size_t>(found));
    ASSERT_EQ(index, want) << k.name << ' ' << n;
    for (size_t i = 0; i < want.size(); ++i) {
      const float v = x[static_cast<size_t>(want[i] - 5)];
      ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(v));
    }
  }
}

TEST_P(Gemm, ReluAndMultiplyActive) {
  const float nan = std::nanf(""), infinity = INFINITY;
  std::mt19937 random(10);
  for (int64_t n = 0; n <= 70; ++n) {
    std::vector<float> x(static_cast<size_t>(n) + 1, -7), up(x.size(), nan);  // one beyond
    int64_t on = 0;
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      const float choices[] = {0.0f, -0.0f, 1e-45f, -3, 3, nan, -infinity, infinity};
      x[i] = choices[random() % 8];
      up[i] = choices[random() % 8];
      on += !(x[i] <= 0);
    }
    std::vector<float> h = x;
    ASSERT_EQ(k.relu(h.data(), n), on) << k.name << ' ' << n;
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      ASSERT_TRUE(x[i] <= 0 ? h[i] == 0 : std::isnan(x[i]) ? std::isnan(h[i]) : h[i] == x[i]);
    }
    const std::vector<float> gate = h;
    k.multiply_active(h.data(), up.data(), n);
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      const float want = gate[i] * up[i];
      ASSERT_TRUE(gate[i] == 0 ? h[i] == 0 : std::isnan(want) ? std::isnan(h[i]) : h[i] == want);
    }
    ASSERT_EQ(h.back(), -7);
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, Gemm, testing::ValuesIn(usable_kernels()),
                         [](const auto& table) { return std::string(table.param->name); });

}  // namespace
}  // namespace st
