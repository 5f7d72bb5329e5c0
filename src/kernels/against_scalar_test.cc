// Every table against the scalar one, the text to read, on shapes drawn at random: the same bits
// where all numbers are integers, within 1e-5 of the size of the terms where they are not.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "support/random_weights.h"

namespace st {
namespace {

using namespace testkit;

constexpr int kRounds = 40;
constexpr uint16_t kOne = 0x3C00;  // 1 in half precision

class AgainstScalar : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& k = *GetParam();
  const KernelTable& scalar = pick_kernels("scalar");
  std::mt19937 random{11};

  int64_t up_to(int64_t n) { return 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(n)); }
  unsigned seed() { return static_cast<unsigned>(random()); }
  int64_t blocks_up_to(int64_t n) { return up_to(n) * kBlock; }  // columns

  // Scales of 1: what is left are integers, and floats hold their sums exactly below 2^24.
  static void make_integer(const Weights& w) {
    std::fill_n(scales_of(w.matrix), w.matrix.rows * w.matrix.cols / kBlock, kOne);
  }
  // Some of n, in any order, some more than once.
  std::vector<int32_t> some_of(int64_t n, int64_t count) {
    std::vector<int32_t> index(static_cast<size_t>(count));
    for (int32_t& i : index) i = static_cast<int32_t>(random() % static_cast<uint64_t>(n));
    return index;
  }
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Products of blocks, row by row and by tiles, one and many tokens.
TEST_P(AgainstScalar, ProductsOfBlocks) {
  for (int round = 0; round < kRounds; ++round) {
    for (const DType type : kBlockTypes) {
      const bool plain = type == DType::kQ8_0 || type == DType::kQ4_0;
      const int64_t rows = up_to(70), tokens = up_to(20);
      const int64_t cols =
          dtype_info(type).block_values == kBlock ? blocks_up_to(20) : up_to(4) * kSuperBlock;
      const bool integers = plain && round % 2 == 0;
      const Weights w(type, rows, cols, seed());
      Activations x(tokens, cols, seed());
      if (integers) {
        make_integer(w);
        std::ranges::fill(x.d, 1.0f);
      }
      const Q8Rows q = x.rows();
      std::vector<float> want(static_cast<size_t>(rows * tokens)), got = want;
      const auto gemv = [&](const KernelTable& t) { return t.format(type).gemv; };
      const QuantRows quants = w.matrix.quant_rows();
      gemv(scalar)(quants, nullptr, rows, q, tokens, cols, want.data(), rows);
      gemv(k)(quants, nullptr, rows, q, tokens, cols, got.data(), rows);
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t r = 0; r < rows; ++r) {
          double size = 0;
          for (int64_t c = 0; c < cols && !integers; ++c) {
            size += std::fabs(size_of(w, r, c) * x.value(type, t, c));
          }
          const auto at = static_cast<size_t>(t * rows + r);
          ASSERT_NEAR(got[at], want[at], size * 1e-5)
              << k.name << ' ' << dtype_name(type) << ' ' << rows << 'x' << cols << " x " << tokens;
        }
      }
      if (k.tile_tokens == 0) continue;
      std::vector<float> tiles(want.size());
      multiply_tiles(k, w.matrix, 0, rows, q, tokens, tiles.data(), rows);
      ASSERT_TRUE(same_bits(tiles, got)) << k.name << ' ' << rows << 'x' << cols << ' ' << tokens;

      const std::vector<int32_t> index = some_of(rows, up_to(40));
      const auto n = static_cast<int64_t>(index.size());
      std::vector<float> picked(static_cast<size_t>(n * tokens));
      gemv(k)(quants, index.data(), n, q, tokens, cols, picked.data(), n);
      for (size_t i = 0; i < picked.size(); ++i) {
        const size_t t = i / index.size(), r = static_cast<size_t>(index[i % index.size()]);
        ASSERT_EQ(picked[i], got[t * static_cast<size_t>(rows) + r]) << k.name << ' ' << i;
      }
    }
  }
}

// Tiles of some tokens, in any order, as an expert takes them.
TEST_P(AgainstScalar, TilesOfSomeTokens) {
  if (k.tile_tokens == 0) return;
  for (int round = 0; round < kRounds; ++round) {
    const int64_t rows = up_to(kUnpackedRows), cols = up_to(2) * kSuperBlock, tokens = up_to(30);
    const DType type = kBlockTypes[static_cast<size_t>(round) % std::size(kBlockTypes)];
    const Weights w(type, rows, cols, seed());
    const Activations x(tokens, cols, seed());
    const Q8Rows q = x.rows();
    const std::vector<int32_t> index = some_of(tokens, up_to(30));
    const auto n = static_cast<int64_t>(index.size());
    std::vector<float> all(static_cast<size_t>(rows * tokens)), some(static_cast<size_t>(rows * n));
    k.format(type).gemv(w.matrix.quant_rows(), nullptr, rows, q, tokens, cols, all.data(), rows);
    multiply_tiles(k, w.matrix, 0, rows, q, n, some.data(), rows, index.data());
    for (size_t i = 0; i < index.size(); ++i) {
      ASSERT_EQ(std::memcmp(&some[i * static_cast<size_t>(rows)],
                            &all[static_cast<size_t>(index[i] * rows)],
                            static_cast<size_t>(rows) * sizeof(float)),
                0)
          << k.name << ' ' << rows << 'x' << cols << ' ' << i;
    }
  }
}

TEST_P(AgainstScalar, ProductsOfFloats) {
  for (int round = 0; round < kRounds; ++round) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const int64_t rows = up_to(30), tokens = up_to(11), cols = up_to(300);
      const Weights w(type, rows, cols, seed());
      const Activations x(tokens, cols, seed());
      std::vector<float> want(static_cast<size_t>(rows * tokens)), got = want;
      gemm(scalar, w.matrix, 0, rows, x, 0, tokens, want.data(), rows);
      gemm(k, w.matrix, 0, rows, x, 0, tokens, got.data(), rows);
      for (size_t i = 0; i < got.size(); ++i) {
        const auto t = static_cast<int64_t>(i) / rows, r = static_cast<int64_t>(i) % rows;
        double size = 0;
        for (int64_t c = 0; c < cols; ++c) {
          size += std::fabs(value(w, r, c) * x.value(type, t, c));
        }
        ASSERT_NEAR(got[i], want[i], size * 1e-5)
            << k.name << ' ' << dtype_name(type) << ' ' << rows << 'x' << cols << " x " << tokens;
      }
    }
  }
}

// The largest product of each column block and up to 512 neurons is 16383, so that one step of the
// rounding is 1 and integers stay what they are.
TEST_P(AgainstScalar, SumsOfRowsOfIntegers) {
  for (int round = 0; round < kRounds; ++round) {
    for (const DType type : {DType::kQ8_0, DType::kQ4_0}) {
      const int64_t rows = up_to(100), cols = blocks_up_to(40);
      const Weights w(type, rows, cols, seed());
      make_integer(w);
      const std::vector<int32_t> index = some_of(rows, up_to(round % 4 ? 40 : 400));
      std::vector<float> h(index.size());
      for (float& v : h) v = static_cast<float>(random() % 32767) - 16383;
      h[random() % h.size()] = round % 2 ? 16383 : -16383;
      std::vector<float> want(static_cast<size_t>(cols)), got = want;
      sum_rows(scalar, w.matrix, index, h, 0, cols, want.data());
      sum_rows(k, w.matrix, index, h, 0, cols, got.data());
      for (size_t c = 0; c < got.size(); ++c) {
        ASSERT_EQ(got[c], want[c]) << k.name << ' ' << dtype_name(type) << ' ' << rows << 'x'
                                   << cols << ' ' << index.size() << ' ' << c;
      }
    }
  }
}

TEST_P(AgainstScalar, SumsOfColumns) {
  for (int round = 0; round < kRounds; ++round) {
    for (const DType type : {DType::kQ8_0, DType::kQ4_0}) {
      const int64_t neurons = blocks_up_to(8), cols = blocks_up_to(12);
      const auto block_bytes = static_cast<int64_t>(dtype_info(type).block_bytes);
      const bool integers = round % 2 == 0;
      std::vector<std::byte> blocks(static_cast<size_t>(cols * neurons / kBlock * block_bytes));
      for (std::byte& b : blocks) b = static_cast<std::byte>(random());
      for (size_t i = 0; i < blocks.size(); i += static_cast<size_t>(block_bytes)) {
        const auto d = static_cast<uint16_t>(integers ? kOne : 0x2C00 + random() % 0x400);
        std::memcpy(&blocks[i], &d, 2);
      }
      std::vector<std::byte> regrouped(neuron_rows_bytes(type, cols, neurons));
      regroup_by_neuron(type, blocks.data(), cols, neurons, regrouped.data());
      const Matrix down = {type, neurons, cols, regrouped.data()};
      const int64_t tokens = up_to(6);
      Activations h(tokens, neurons, seed());
      if (integers) std::ranges::fill(h.d, 1.0f);
      for (int8_t& q : h.q) {
        if (random() % 3 != 0) q = 0;
      }
      h.add_up();
      std::vector<float> want(static_cast<size_t>(tokens * cols)), got = want;
      const auto sum = [&](const KernelTable& t, std::vector<float>& y) {
        t.format(type).sum_columns(neuron_rows(down), neurons, h.rows(), tokens, cols, 0, cols,
                                   y.data(), cols);
      };
      sum(scalar, want);
      sum(k, got);
      double size = 0;  // of the terms of any column, from above
      for (int64_t j = 0; j < tokens * neurons; ++j) {
        size += std::fabs(h.value(type, j / neurons, j % neurons)) *
                (type == DType::kQ8_0 ? 128 : 8) / 8;
      }
      for (size_t i = 0; i < got.size(); ++i) {
        ASSERT_NEAR(got[i], want[i], integers ? 0 : size * 1e-5)
            << k.name << ' ' << dtype_name(type) << ' ' << neurons << 'x' << cols << ' ' << tokens
            << ' ' << i;
      }
    }
  }
}

TEST_P(AgainstScalar, RowsOfFloats) {
  for (int round = 0; round < 4 * kRounds; ++round) {
    const int64_t n = up_to(400);
    const Activations x(1, n, seed()), y(1, n, seed());
    const auto size = static_cast<size_t>(n);
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      const Weights w(type, 1, n, seed());
      std::vector<float> want = y.x, got = y.x;
      const float a = x.x.back();
      axpy(scalar, a, w.matrix, 0, n, want.data());
      axpy(k, a, w.matrix, 0, n, got.data());
      for (size_t i = 0; i < size; ++i) {
        const double terms = std::fabs(y.x[i]) + std::fabs(a * value(w, 0, int64_t(i)));
        ASSERT_NEAR(got[i], want[i], terms * 1e-5) << k.name << ' ' << dtype_name(type) << ' ' << n;
      }
    }
    std::vector<float> want(size), got(size);
    scalar.rms_norm(x.x.data(), y.x.data(), 1e-6f, n, want.data());
    k.rms_norm(x.x.data(), y.x.data(), 1e-6f, n, got.data());
    for (size_t i = 0; i < size; ++i) {
      ASSERT_NEAR(got[i], want[i], std::fabs(want[i]) * 1e-5) << k.name << ' ' << n;
    }
  }
}

TEST_P(AgainstScalar, QuantisedRows) {
  for (int round = 0; round < kRounds; ++round) {
    const int64_t n = blocks_up_to(40);
    const Activations x(1, n, seed());
    const auto size = static_cast<size_t>(n);
    std::vector<int8_t> want_q(size), q(size);
    std::vector<float> want_d(size / kBlock), d(size / kBlock);
    std::vector<int32_t> want_sum(size / kBlock), sum(size / kBlock);
    std::vector<int32_t> want_half(size / kBlock), half(size / kBlock);
    scalar.quantize_q8(x.x.data(), n, want_q.data(), want_d.data(), want_sum.data(),
                       want_half.data());
    k.quantize_q8(x.x.data(), n, q.data(), d.data(), sum.data(), half.data());
    ASSERT_EQ(q, want_q) << k.name << ' ' << n;
    ASSERT_EQ(d, want_d) << k.name << ' ' << n;
    ASSERT_EQ(sum, want_sum) << k.name << ' ' << n;
    ASSERT_EQ(half, want_half) << k.name << ' ' << n;
  }
}

// Measuring reads no byte beyond, or a sanitizer says so, and counts what it did.
TEST_P(AgainstScalar, Probes) {
  for (int64_t bytes = 0; bytes < 1100; bytes += up_to(40)) {
    const std::vector<std::byte> all(static_cast<size_t>(bytes));
    k.read_all(all.data(), bytes);
  }
  const int64_t once = k.peak_int8(1);
  EXPECT_GE(once, kBlock) << k.name;
  EXPECT_EQ(k.peak_int8(50), 50 * once) << k.name;
}

INSTANTIATE_TEST_SUITE_P(Tables, AgainstScalar, testing::ValuesIn(usable_kernels()),
                         [](const auto& table) { return std::string(table.param->name); });

}  // namespace
}  // namespace st
