// Sums of the rows and columns of every quantised type, in every table, against plain arithmetic on
// the values of the file; and that their bits depend on nothing but what they add.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "support/random_blocks.h"
#include "tensor/layout.h"
#include "tensor/quantize.h"
#include "tensor/regroup.h"

namespace st {
namespace {

using testkit::random_blocks;

class Sums : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& k = *GetParam();
  std::mt19937 random{5};

  int64_t up_to(int64_t n) { return 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(n)); }
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<DType> types() {
  std::vector<DType> types;
  for (const DTypeInfo& info : all_dtypes()) {
    if (info.split != nullptr) types.push_back(info.type);
  }
  return types;
}

// Columns of a matrix that are a multiple of its blocks, so that the last part of kernels is of any
// size.
int64_t columns(DType type, int64_t blocks) {
  return blocks * std::max<int64_t>(kBlock, dtype_info(type).block_values);
}

// Rows that are the neurons of an expert, down matrices of which are transposed.
struct Rows {
  DType type;
  int64_t rows, cols;
  std::vector<std::byte> file, split;
  Matrix matrix;

  Rows(DType of, int64_t row_count, int64_t column_count, std::mt19937& random)
      : type(of),
        rows(row_count),
        cols(column_count),
        file(random_blocks(of, rows * cols, random)),
        split(file.size()) {
    arrange();
  }
  void arrange() {
    split_rows(type, file.data(), 0, rows, rows, cols, split.data());
    matrix = {type, rows, cols, split.data()};
  }

  void sum(const KernelTable& k, const std::vector<int32_t>& index, const std::vector<float>& h,
           int64_t begin, int64_t end, bool cached, std::vector<float>& y) const {
    k.format(type).sum_rows(matrix.quant_rows(), index.data(), h.data(),
                            static_cast<int64_t>(index.size()), cols, begin, end, cached, y.data());
  }
  std::vector<float> sum(const KernelTable& k, const std::vector<int32_t>& index,
                         const std::vector<float>& h) const {
    std::vector<float> y(static_cast<size_t>(cols), 99.0f);
    sum(k, index, h, 0, cols, false, y);
    return y;
  }
};

TEST_P(Sums, OfRows) {
  for (const DType type : types()) {
    for (const int64_t count : {1, 2, 31, 64, 700}) {
      const int64_t blocks = type == DType::kQ5_0 ? 37 : 5;  // with one that fills no chunk
      const Rows w(type, 40, columns(type, blocks), random);
      std::vector<int32_t> index;
      std::vector<float> h;
      std::normal_distribution<float> normal;
      for (int64_t i = 0; i < count; ++i) {
        index.push_back(static_cast<int32_t>(random() % 40));
        h.push_back(normal(random));
      }
      const std::vector<float> got = w.sum(k, index, h);
      for (int64_t b = 0; b < w.cols / kBlock; ++b) {
        double want[kBlock] = {}, peak = 0;
        for (size_t i = 0; i < index.size(); ++i) {
          const DecodedBlock block = read_block(w.matrix, index[i], b);
          for (int c = 0; c < kBlock; ++c) {
            const double scale = block.scale[c / 16], base = block.base[c / 16];
            want[c] += h[i] * (scale * block.code[c] + base);
            peak = std::max({peak, std::fabs(h[i] * scale), std::fabs(h[i] * base) / 1000});
          }
        }
        // Half a step of the largest product's 14 bits for each code of up to 128.
        const double bar = static_cast<double>(count) * peak * 128 / 32766 + 1e-30;
        for (int c = 0; c < kBlock; ++c) {
          ASSERT_NEAR(got[static_cast<size_t>(b * kBlock + c)], want[c], bar)
              << k.name << ' ' << dtype_name(type) << ' ' << count << ' ' << b << ' ' << c;
        }
      }
      // Pieces of the columns, and rows that are at hand.
      std::vector<float> pieces(got.size(), 99.0f);
      for (int64_t c = 0; c < w.cols;) {
        const int64_t end = std::min(w.cols, c + 128 * up_to(3));
        w.sum(k, index, h, c, end, c % 256 == 0, pieces);
        c = end;
      }
      ASSERT_TRUE(same_bits(pieces, got)) << k.name << ' ' << dtype_name(type) << ' ' << count;
    }
  }
}

// A down matrix (D, F), regrouped, and the neurons of some tokens.
struct Columns {
  DType type;
  int64_t D, F, tokens;
  std::vector<std::byte> file, regrouped;
  std::vector<int8_t> q;                 // (tokens, F)
  std::vector<float> d;                  // (tokens, F / 32)
  std::vector<int32_t> sums, half_sums;  // (tokens, F / 32)

  Columns(DType of, int64_t outputs, int64_t neurons, int64_t token_count, std::mt19937& random)
      : type(of),
        D(outputs),
        F(neurons),
        tokens(token_count),
        file(random_blocks(of, D * F, random)),
        regrouped(neuron_rows_bytes(of, D, F)),
        q(static_cast<size_t>(tokens * F)) {
    arrange();
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < tokens * F / kBlock; ++i) {
      d.push_back(std::fabs(normal(random)) / 127);
    }
    for (int64_t t = 0; t < tokens; ++t) switch_on(t, random);
    add_up();
  }
  void arrange() { regroup_by_neuron(type, file.data(), D, F, regrouped.data()); }

  // By turns: a quarter; one; all, as far from 0 as can be; those of every third half of a block;
  // none.
  void switch_on(int64_t token, std::mt19937& random) {
    const auto one = static_cast<int64_t>(random()) % F;
    for (int64_t j = 0; j < F; ++j) {
      const auto any = static_cast<int8_t>(random() % 255 - 127);
      const auto far = static_cast<int8_t>(token % 2 == 0 ? 127 : -127);
      const int8_t values[] = {random() % 4 == 0 ? any : int8_t{0}, j == one ? any : int8_t{0}, far,
                               j / 16 % 3 == 0 ? any : int8_t{0}, 0};
      q[static_cast<size_t>(token * F + j)] = values[token % 5];
    }
  }
  void add_up() {
    sums.assign(d.size(), 0);
    half_sums = sums;
    for (size_t i = 0; i < q.size(); ++i) {
      sums[i / kBlock] += q[i];
      if (i % kBlock < kBlock / 2) half_sums[i / kBlock] += q[i];
    }
  }

  // Of `some` tokens from `first` on.
  void sum(const KernelTable& k, int64_t first, int64_t some, int64_t begin, int64_t end,
           std::vector<float>& y) const {
    const Q8Rows h = {q.data(), d.data(), sums.data(), half_sums.data()};
    k.format(type).sum_columns(neuron_rows({type, F, D, regrouped.data()}), F,
                               h.rows_from(first, F), some, D, begin, end, y.data() + first * D, D);
  }
  std::vector<float> sum(const KernelTable& k) const {
    std::vector<float> y(static_cast<size_t>(tokens * D), 99.0f);
    sum(k, 0, tokens, 0, D, y);
    return y;
  }
  double value(int64_t token, size_t neuron) const {
    const size_t i = static_cast<size_t>(token * F) + neuron;
    return double{d[i / kBlock]} * q[i];
  }
};

struct ColumnsShape {
  int64_t D, tokens;
};

TEST_P(Sums, OfColumns) {
  for (const DType type : types()) {
    for (const auto& [D, tokens] :
         {ColumnsShape{32, 2}, {96, 9}, {160, 70}, {128, 1}, {384, 5}, {2560, 1}}) {
      const int64_t F = columns(type, 3);
      if (!can_regroup(type, D, F)) continue;
      const Columns w(type, D, F, tokens, random);
      const std::vector<float> got = w.sum(k);
      const auto row = row_bytes(type, static_cast<uint64_t>(F));
      std::vector<float> values(static_cast<size_t>(F));
      for (int64_t c = 0; c < D; ++c) {
        dequantize_row(type, w.file.data() + static_cast<uint64_t>(c) * row, F, values.data());
        for (int64_t t = 0; t < tokens; ++t) {
          double want = 0, size = 0;
          for (size_t j = 0; j < values.size(); ++j) {
            const double h = w.value(t, j);
            want += h * values[j];
            size += std::fabs(h) * (std::fabs(values[j]) + 1);
          }
          ASSERT_NEAR(got[static_cast<size_t>(t * D + c)], want, size * 2e-5)
              << k.name << ' ' << dtype_name(type) << ' ' << D << 'x' << F << ' ' << t << ' ' << c;
        }
      }
      // Pieces of the columns, and tokens in other company.
      std::vector<float> pieces(got.size(), 99.0f);
      for (int64_t t = 0; t < tokens;) {
        const int64_t some = std::min(tokens - t, up_to(7));
        for (int64_t c = 0; c < D;) {
          const int64_t end = std::min(D, c + 128 * up_to(3));
          w.sum(k, t, some, c, end, pieces);
          c = end;
        }
        t += some;
      }
      ASSERT_TRUE(same_bits(pieces, got)) << k.name << ' ' << dtype_name(type) << ' ' << D;
    }
  }
}

// Blocks of neurons are skipped that add nothing, not those whose values are no numbers.
TEST_P(Sums, NeuronsThatAreNoNumbersShow) {
  for (const DType type : types()) {
    Columns w(type, 128, columns(type, 2), 8, random);
    for (const int64_t t : {4, 7}) {  // with neurons and without
      const auto block = static_cast<size_t>((t + 1) * w.F / kBlock) - 1;
      w.d[block] = std::nanf("");
      std::fill_n(&w.q[block * kBlock], kBlock, int8_t{0});
    }
    w.add_up();
    const std::vector<float> together = w.sum(k);
    std::vector<float> alone(together.size(), 99.0f);
    for (int64_t t = 0; t < w.tokens; ++t) w.sum(k, t, 1, 0, w.D, alone);
    for (size_t i = 0; i < together.size(); ++i) {
      const size_t token = i / 128;
      ASSERT_EQ(std::isfinite(together[i]), token != 4 && token != 7) << dtype_name(type) << i;
      ASSERT_EQ(std::isfinite(alone[i]), token != 4 && token != 7) << dtype_name(type) << i;
    }
  }
}

// A scale or a minimum that is no number shows in every output that it belongs to.
TEST_P(Sums, ScalesThatAreNoNumbersShow) {
  for (const DType type : types()) {
    if (type == DType::kMXFP4) continue;  // its exponents are all numbers here
    for (const auto& [at, bytes] : testkit::no_numbers(type)) {
      const auto spoil = [&, at = at, &bytes = bytes](std::vector<std::byte>& file) {
        std::ranges::copy(bytes, file.begin() + static_cast<std::ptrdiff_t>(at));
      };
      Rows rows(type, 3, columns(type, 2), random);
      spoil(rows.file);
      rows.arrange();
      const std::vector<float> y = rows.sum(k, {1, 0, 2}, {0.5f, 1.0f, -2.0f});
      const int64_t values = dtype_info(type).block_values;
      for (int64_t c = 0; c < rows.cols; ++c) {
        ASSERT_EQ(std::isfinite(y[static_cast<size_t>(c)]), c >= values)
            << k.name << ' ' << dtype_name(type) << ' ' << at << ' ' << c;
      }
      Columns down(type, 128, columns(type, 2), 1, random);
      spoil(down.file);
      down.arrange();
      const std::vector<float> z = down.sum(k);
      for (size_t c = 0; c < z.size(); ++c) {
        ASSERT_EQ(std::isfinite(z[c]), c > 0)
            << k.name << ' ' << dtype_name(type) << ' ' << at << ' ' << c;
      }
    }
  }
}

// Output c has exponent c, the least and the one that is NaN elsewhere too, and a weight of 1.
TEST_P(Sums, EveryExponentOfMXFP4) {
  constexpr int64_t kD = 256;
  Columns w(DType::kMXFP4, kD, kBlock, 1, random);
  for (size_t c = 0; c < kD; ++c) {
    BlockMXFP4 block = {.e = static_cast<uint8_t>(c), .qs = {}};
    std::ranges::fill(block.qs, 0x11);
    std::memcpy(&w.file[c * sizeof block], &block, sizeof block);
  }
  w.arrange();
  w.q.assign(kBlock, 0);
  w.q[5] = 1;
  w.d = {1};
  w.add_up();
  const std::vector<float> got = w.sum(k);
  for (int c = 0; c < kD; ++c) {
    ASSERT_EQ(got[static_cast<size_t>(c)], std::ldexp(1.0f, c - 128)) << c;
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, Sums, testing::ValuesIn(usable_kernels()),
                         [](const auto& table) { return std::string(table.param->name); });

}  // namespace
}  // namespace st
