#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "support/random_blocks.h"
#include "tensor/dtype.h"
#include "tensor/float16.h"
#include "tensor/layout.h"
#include "tensor/matrix.h"
#include "tensor/quantize.h"
#include "tensor/regroup.h"

namespace st {
namespace {

uint32_t bits(float f) { return std::bit_cast<uint32_t>(f); }

// Bit patterns around every place where rounding to half precision or bfloat16 can change, and many
// at random; all of them also negated.
std::vector<float> probes() {
  std::vector<uint32_t> patterns;
  for (uint32_t h = 0; h < 0x7C00;
       ++h) {  // each half, the point midway to the next, and neighbours
    const uint32_t here = bits(f16_to_f32(static_cast<uint16_t>(h)));
    const float next = h == 0x7BFF ? 65536.0f : f16_to_f32(static_cast<uint16_t>(h + 1));
    const uint32_t middle = bits((std::bit_cast<float>(here) + next) / 2);
    for (uint32_t p : {here, middle}) {
      for (uint32_t step : {-1, 0, 1}) patterns.push_back(p + step);
    }
  }
  for (uint32_t b = 0; b < 0x8000; ++b) {  // likewise for bfloat16, including infinity and NaN
    for (uint32_t low : {0x0000, 0x0001, 0x7FFF, 0x8000, 0x8001, 0xFFFF}) {
      patterns.push_back(b << 16 | low);
    }
  }
  std::mt19937 random(1);
  for (int i = 0; i < 2'000'000; ++i) patterns.push_back(uint32_t(random()));

  std::vector<float> values;
  values.reserve(2 * patterns.size());
  for (uint32_t p : patterns) {
    values.push_back(std::bit_cast<float>(p));
    values.push_back(std::bit_cast<float>(p ^ 0x80000000));
  }
  return values;
}

TEST(Float16, EveryHalfSurvivesARoundTrip) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const auto half = static_cast<uint16_t>(h);
    const float f = f16_to_f32(half);
    if ((h & 0x7FFF) > 0x7C00) {
      ASSERT_TRUE(std::isnan(f)) << h;
      ASSERT_EQ(f32_to_f16(f), half | 0x200) << h;  // quiet, same payload
    } else {
      ASSERT_EQ(f32_to_f16(f), half) << h;
      const int exponent = h >> 10 & 31, mantissa = h & 0x3FF;
      double value = exponent ? std::ldexp(1024 + mantissa, exponent - 25) : mantissa * 0x1p-24;
      if (exponent == 31) value = INFINITY;
      ASSERT_EQ(f, h & 0x8000 ? -value : value) << h;
      ASSERT_EQ(std::signbit(f), h >= 0x8000) << h;
    }
  }
}

#ifdef __FLT16_MAX__  // the compiler has the type
#ifdef __aarch64__
using Half = __fp16;  // g++ 12 has the other name in C only
#else
using Half = _Float16;
#endif

TEST(Float16, RoundsLikeTheCompiler) {
  for (float f : probes()) {
    const auto expected = std::bit_cast<uint16_t>(static_cast<Half>(f));
    if (std::isnan(f)) {
      ASSERT_GT(f32_to_f16(f) & 0x7FFF, 0x7C00) << bits(f);
    } else {
      ASSERT_EQ(f32_to_f16(f), expected) << bits(f);
    }
  }
  for (uint32_t h = 0; h <= 0x7C00; ++h) {
    const auto half = static_cast<uint16_t>(h);
    ASSERT_EQ(f16_to_f32(half), static_cast<float>(std::bit_cast<Half>(half))) << h;
  }
}
#endif

TEST(BFloat16, RoundsToTheNearestAndEven) {
  for (float f : probes()) {
    const uint16_t b = f32_to_bf16(f);
    const float back = bf16_to_f32(b);
    if (std::isnan(f)) {
      ASSERT_TRUE(std::isnan(back)) << bits(f);
      ASSERT_EQ(b, bits(f) >> 16 | 0x40) << bits(f);
      continue;
    }
    ASSERT_EQ(std::signbit(back), std::signbit(f));
    // The candidates are the truncation and its successor; infinity counts as 2^128.
    const auto below = static_cast<uint16_t>(bits(f) >> 16);
    if (bits(f) << 16 == 0) {
      ASSERT_EQ(b, below);
      continue;
    }
    const uint32_t rest = bits(f) & 0xFFFF;
    const bool up = rest > 0x8000 || (rest == 0x8000 && below % 2 == 1);
    ASSERT_EQ(b, below + up) << bits(f);
  }
  EXPECT_EQ(f32_to_bf16(3.4e38f), 0x7F80);  // overflow
}

TEST(DType, NamesAndSizes) {
  EXPECT_EQ(parse_dtype("Q4_0"), DType::kQ4_0);
  EXPECT_EQ(parse_dtype("q4_k"), DType::kQ4_K);
  EXPECT_EQ(parse_dtype("bf16"), DType::kBF16);
  for (const char* bad : {"", "q4", "Q4_0 ", "q4_00", "float"}) {
    EXPECT_EQ(parse_dtype(bad), std::nullopt) << bad;
  }
  int known = 0;
  for (uint32_t id = 0; id < 256; ++id) {
    const DTypeInfo* info = find_dtype(id);
    if (!info) continue;
    ++known;
    EXPECT_EQ(static_cast<uint32_t>(info->type), id);
    EXPECT_EQ(parse_dtype(info->name), info->type);
    EXPECT_EQ(dtype_name(info->type), info->name);
  }
  EXPECT_EQ(known, 17);
  EXPECT_EQ(find_dtype(4), nullptr);
  EXPECT_EQ(find_dtype(0xFFFFFFFF), nullptr);
  EXPECT_EQ(row_bytes(DType::kQ4_0, 2560), 80u * 18);
  EXPECT_EQ(row_bytes(DType::kQ6_K, 512), 420u);
  EXPECT_EQ(row_bytes(DType::kF32, 3), 12u);
}

// Random rows of a type as in a file.
std::vector<std::byte> random_rows(DType type, int64_t rows, int64_t cols) {
  std::mt19937 random(static_cast<unsigned>(cols));
  std::vector<std::byte> bytes(static_cast<size_t>(rows) *
                               row_bytes(type, static_cast<uint64_t>(cols)));
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

std::vector<DTypeInfo> split_types() {
  std::vector<DTypeInfo> types(all_dtypes().begin(), all_dtypes().end());
  std::erase_if(types, [](const DTypeInfo& info) { return info.split == nullptr; });
  return types;
}

constexpr int kManyBlocks = 130;  // more than are copied at once

// What the decoder makes of the file's bytes, bit for bit, from whatever block on.
TEST(Layout, SplitRowsDecodeAsInTheFile) {
  for (const DTypeInfo& info : split_types()) {
    for (const int64_t blocks : {1, 2, 3, 4, 5, 8, 11, kManyBlocks}) {
      if (blocks == kManyBlocks && info.block_values != kBlock) continue;
      const int64_t rows = 3, cols = blocks * info.block_values;
      const std::vector<std::byte> bytes = random_rows(info.type, rows, cols);
      std::vector<std::byte> split(bytes.size());
      const auto row = static_cast<size_t>(row_bytes(info, static_cast<uint64_t>(cols)));
      split_rows(info.type, bytes.data() + row, 1, 2, rows, cols, split.data());
      split_rows(info.type, bytes.data(), 0, 1, rows, cols, split.data());
      const Matrix matrix = {info.type, rows, cols, split.data()};
      std::vector<float> want(static_cast<size_t>(cols)), got(want.size());
      for (int64_t r = 0; r < rows; ++r) {
        info.decode(bytes.data() + static_cast<size_t>(r) * row, cols, want.data());
        for (int64_t c = 0; c < cols; c += 32) {
          dequantize_row(matrix, r, c, cols - c, got.data());
          for (int64_t i = c; i < cols; ++i) {
            const float x = want[static_cast<size_t>(i)], y = got[static_cast<size_t>(i - c)];
            ASSERT_TRUE(bits(y) == bits(x) || (std::isnan(x) && std::isnan(y)))
                << info.name << ' ' << cols << ' ' << r << ' ' << i << ": " << y << ", want " << x;
          }
        }
      }
    }
  }
}

TEST(Layout, SplitsInPlaceAsBesideIt) {
  for (const DTypeInfo& info : split_types()) {
    for (const int64_t blocks : {1, 2, 7, 32, kManyBlocks}) {
      for (const size_t shift : {0, 1, 13, 500}) {
        const int64_t rows = 3, cols = blocks * info.block_values;
        std::vector<std::byte> memory = random_rows(info.type, rows, cols), want(memory.size());
        split_rows(info.type, memory.data(), 0, rows, rows, cols, want.data());
        memory.insert(memory.begin(), shift, std::byte{99});
        split_in_place(info.type, memory.data() + shift, rows, cols, memory.data());
        memory.resize(want.size());
        EXPECT_EQ(memory, want) << info.name << ' ' << cols << ' ' << shift;
      }
    }
  }
}

TEST(Regroup, ByNeuronAsInTheFile) {
  for (const DTypeInfo& info : split_types()) {
    for (const int64_t D : {32, 96, 128, 256, 288, 384}) {
      for (const int64_t blocks : {1, 2, 3}) {
        const int64_t F = blocks * info.block_values, padded = padded_columns(D);
        const bool pairs = info.split->bits == 2 || info.split->bits == 3 || info.split->bits == 6;
        ASSERT_EQ(can_regroup(info.type, D, F), D % 128 == 0 || !pairs) << info.name << ' ' << D;
        if (!can_regroup(info.type, D, F)) continue;
        const std::vector<std::byte> bytes = random_rows(info.type, D, F);
        std::vector<std::byte> regrouped(neuron_rows_bytes(info.type, D, F) + 1, std::byte{99});
        regroup_by_neuron(info.type, bytes.data(), D, F, regrouped.data());
        ASSERT_EQ(regrouped.back(), std::byte{99}) << info.name << ' ' << D << ' ' << F;
        const NeuronRows rows = neuron_rows({info.type, F, D, regrouped.data()});
        const int64_t row = info.split->quant_bytes(D);
        std::vector<float> want(static_cast<size_t>(F));
        for (int64_t c = 0; c < D; ++c) {
          ASSERT_LT(column_place(info.type, c), padded);
          const auto at = static_cast<uint64_t>(c) * row_bytes(info, static_cast<uint64_t>(F));
          info.decode(bytes.data() + at, F, want.data());
          for (int64_t j = 0; j < F; ++j) {
            DecodedBlock block;
            info.split->read_codes({rows.q + j * row, nullptr, c / 32, D / 32}, block);
            const auto [scale, min] = neuron_scale(info.type, rows, j, c, D);
            const float x = want[static_cast<size_t>(j)], y = scale * block.code[c % 32] - min;
            ASSERT_TRUE(bits(y) == bits(x) || (y == 0 && x == 0) ||
                        (std::isnan(x) && std::isnan(y)))
                << info.name << ' ' << D << 'x' << F << ' ' << c << ' ' << j << ": " << y
                << ", want " << x;
          }
        }
      }
    }
  }
}

// One scale of any block, in either form.
TEST(Layout, AScaleThatIsNoNumberIsFound) {
  std::mt19937 random(3);
  for (const DTypeInfo& info : split_types()) {
    const int64_t rows = 256, cols = 2 * info.block_values;
    const std::vector<std::byte> good = testkit::random_blocks(info.type, rows * cols, random);
    std::vector<std::byte> split(good.size());
    std::vector<std::byte> regrouped(neuron_rows_bytes(info.type, rows, cols));
    const Matrix by_row = {info.type, rows, cols, split.data()};
    const Matrix by_neuron = {info.type, cols, rows, regrouped.data()};
    const auto arrange = [&](const std::vector<std::byte>& file) {
      split_rows(info.type, file.data(), 0, rows, rows, cols, split.data());
      regroup_by_neuron(info.type, file.data(), rows, cols, regrouped.data());
    };
    arrange(good);
    EXPECT_TRUE(scales_are_finite(by_row, 0, rows)) << info.name;
    EXPECT_TRUE(neuron_scales_are_finite(by_neuron)) << info.name;
    for (const auto& [at, bytes] : testkit::no_numbers(info.type)) {
      for (const int64_t block : {int64_t{0}, int64_t{1}, rows + 1, 2 * rows - 1}) {
        std::vector<std::byte> file = good;
        const auto place = static_cast<size_t>(block) * info.block_bytes + at;
        std::memcpy(&file[place], bytes.data(), bytes.size());
        arrange(file);
        const int64_t row = block / 2;
        EXPECT_FALSE(scales_are_finite(by_row, row, 1)) << info.name << ' ' << place;
        EXPECT_TRUE(scales_are_finite(by_row, 0, row)) << info.name << ' ' << place;
        EXPECT_TRUE(scales_are_finite(by_row, row + 1, rows - row - 1)) << info.name;
        EXPECT_FALSE(neuron_scales_are_finite(by_neuron)) << info.name << ' ' << place;
      }
    }
  }
}

TEST(Regroup, RefusesWhatEndsWithinABlock) {
  EXPECT_FALSE(can_regroup(DType::kF16, 128, 256));
  EXPECT_FALSE(can_regroup(DType::kQ4_0, 48, 64));
  EXPECT_FALSE(can_regroup(DType::kQ4_0, 64, 48));
  EXPECT_TRUE(can_regroup(DType::kQ4_K, 32, 768));
  EXPECT_FALSE(can_regroup(DType::kQ4_K, 32, 640));
}

TEST(Matrix, RowsLieBackToBack) {
  const std::byte bytes[3 * 34] = {};
  const Matrix m = {DType::kQ8_0, 3, 32, bytes};
  EXPECT_TRUE(m);
  EXPECT_FALSE(Matrix{});
  EXPECT_EQ(m.stride(), 34u);
  EXPECT_EQ(m.row(2), bytes + 68);
}

}  // namespace
}  // namespace st
