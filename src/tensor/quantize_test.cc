#include "tensor/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/blocks.h"
#include "tensor/float16.h"

namespace st {
namespace {

constexpr uint16_t kOne = 0x3C00;   // half precision
constexpr uint16_t kHalf = 0x3800;  // 0.5

template <typename Block>
Block quantize(DType type, const std::vector<float>& x) {
  Block block;
  quantize_row(type, x.data(), static_cast<int64_t>(x.size()),
               reinterpret_cast<std::byte*>(&block));
  return block;
}

template <typename Block>
std::vector<float> dequantize(DType type, const Block& block) {
  std::vector<float> y(dtype_info(type).block_values);
  dequantize_row(type, reinterpret_cast<const std::byte*>(&block), static_cast<int64_t>(y.size()),
                 y.data());
  return y;
}

std::vector<float> random_row(size_t n, float scale, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

TEST(Quantize, WritesAllTypesButBytes) {
  for (const DTypeInfo& info : all_dtypes()) {
    EXPECT_EQ(can_quantize(info.type), info.type != DType::kI8) << info.name;
  }
  try {
    quantize_row(DType::kI8, nullptr, 0, nullptr);
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "cannot write I8 weights");
  }
}

TEST(Quantize, FloatsKeepTheirRounding) {
  const std::vector<float> x = {1.0f, -0.0f, 1e30f, 0x1.002p0f, 0x1.006p0f, 1e-40f};
  std::byte bytes[6 * 4 + 1];
  std::byte* out = bytes + 1;  // rows need no alignment
  std::vector<float> y(x.size());
  quantize_row(DType::kF32, x.data(), 6, out);
  dequantize_row(DType::kF32, out, 6, y.data());
  EXPECT_EQ(y, x);
  EXPECT_TRUE(std::signbit(y[1]));

  quantize_row(DType::kF16, x.data(), 6, out);
  dequantize_row(DType::kF16, out, 6, y.data());
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(y, (std::vector<float>{1, -0.0f, inf, 1, 0x1.008p0f, 0}));
  EXPECT_TRUE(std::signbit(y[1]));

  quantize_row(DType::kBF16, x.data(), 6, out);
  dequantize_row(DType::kBF16, out, 6, y.data());
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(y[i], x[i], std::fabs(x[i]) / 256 + 1e-40f);
}

TEST(Quantize, Q4KeepsTheFirstOfTheLargest) {
  std::vector<float> x(32, 0.0f);
  x[3] = -2;
  x[7] = 2;         // as large but later: 2 / 0.25 + 8.5 = 16.5 is cut to 15
  x[16] = 0.125f;   // 0.5 + 8.5 = 9
  x[17] = -0.125f;  // -0.5 + 8.5 = 8
  const auto block = quantize<BlockQ4_0>(DType::kQ4_0, x);
  EXPECT_EQ(block.d, f32_to_f16(0.25f));
  EXPECT_EQ(block.qs[3] & 15, 0);
  EXPECT_EQ(block.qs[7] & 15, 15);
  EXPECT_EQ(block.qs[0] >> 4, 9);
  EXPECT_EQ(block.qs[1] >> 4, 8);
  const std::vector<float> y = dequantize(DType::kQ4_0, block);
  EXPECT_EQ(y[3], -2);
  EXPECT_EQ(y[7], 1.75f);

  std::swap(x[3], x[7]);
  EXPECT_EQ(quantize<BlockQ4_0>(DType::kQ4_0, x).d, f32_to_f16(-0.25f));
}

TEST(Quantize, Q8RoundsHalvesAwayFromZero) {
  std::vector<float> x(32, 0.0f);
  x[0] = 127;
  x[1] = 0.5f;
  x[2] = -0.5f;
  x[3] = 2.5f;
  x[4] = -2.5f;
  x[5] = 0x1.fffffep-2f;  // just below one half
  const auto block = quantize<BlockQ8_0>(DType::kQ8_0, x);
  EXPECT_EQ(block.d, kOne);
  EXPECT_EQ(std::vector<int>(block.qs, block.qs + 6), (std::vector<int>{127, 1, -1, 3, -3, 0}));
}

TEST(Quantize, BlocksWithoutAUsableScaleAreZero) {
  // Zeros, the smallest subnormal, and a maximum whose 1 / d overflows.
  for (float peak : {0.0f, -0.0f, 0x1p-149f, 0x1p-126f}) {
    const std::vector<float> x(32, peak);
    const auto q4 = quantize<BlockQ4_0>(DType::kQ4_0, x);
    const auto q8 = quantize<BlockQ8_0>(DType::kQ8_0, x);
    EXPECT_EQ(q4.d & 0x7FFF, 0);
    EXPECT_EQ(q8.d, 0);
    for (float y : dequantize(DType::kQ4_0, q4)) EXPECT_EQ(y, 0);
    for (float y : dequantize(DType::kQ8_0, q8)) EXPECT_EQ(y, 0);
    for (uint8_t pair : q4.qs) EXPECT_EQ(pair, 0x88);
  }
}

TEST(Quantize, HugeAndNonFiniteRowsStayDefined) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  for (float v : {3e38f, inf, -inf, nan}) {
    std::vector<float> x = random_row(32, 1, 3);
    x[5] = v;
    const auto q8 = quantize<BlockQ8_0>(DType::kQ8_0, x);
    quantize<BlockQ4_0>(DType::kQ4_0, x);
    if (!std::isnan(v)) {
      EXPECT_EQ(q8.d, 0x7C00);
    }
  }
}

TEST(Quantize, RoundTripStaysWithinAStep) {
  for (float scale : {1e-3f, 0.05f, 1.0f, 300.0f}) {
    const std::vector<float> x = random_row(32 * 64, scale, 11);
    for (DType type : {DType::kQ8_0, DType::kQ4_0}) {
      std::vector<std::byte> bytes(row_bytes(type, x.size()));
      std::vector<float> y(x.size());
      quantize_row(type, x.data(), static_cast<int64_t>(x.size()), bytes.data());
      dequantize_row(type, bytes.data(), static_cast<int64_t>(x.size()), y.data());
      for (size_t i = 0; i < x.size(); i += 32) {
        float peak = 0;
        for (size_t j = i; j < i + 32; ++j) peak = std::max(peak, std::fabs(x[j]));
        // Half a step, a whole one at the short end of Q4_0, and the rounding of d (subnormal at
        // worst).
        const float step = type == DType::kQ8_0 ? peak / 254 : peak / 8;
        for (size_t j = i; j < i + 32; ++j) {
          EXPECT_NEAR(y[j], x[j], step * 1.001f + peak / 2048 + 127 * 0x1p-25f);
        }
      }
    }
  }
}

TEST(Dequantize, FifthBitsAndMinima) {
  BlockQ5_0 q5 = {.d = kHalf, .qh = {0x01, 0, 0x02, 0x80}, .qs = {}};
  q5.qs[0] = 0x0F;
  q5.qs[1] = 0xA0;
  std::vector<float> y = dequantize(DType::kQ5_0, q5);
  EXPECT_EQ(y[0], 7.5f);   // 31 - 16
  EXPECT_EQ(y[1], -8.0f);  // 0 - 16
  EXPECT_EQ(y[17], 5.0f);  // 10 + 16 - 16
  EXPECT_EQ(y[31], 0.0f);  // 16 - 16
  EXPECT_EQ(y[30], -8.0f);

  BlockQ5_1 q51 = {.d = kHalf, .m = kOne, .qh = {0x01, 0, 0x02, 0x80}, .qs = {}};
  q51.qs[0] = 0x0F;
  y = dequantize(DType::kQ5_1, q51);
  EXPECT_EQ(y[0], 16.5f);
  EXPECT_EQ(y[1], 1.0f);
  EXPECT_EQ(y[17], 9.0f);

  BlockQ4_1 q41 = {.d = kHalf, .m = 0xBC00, .qs = {0xF2}};
  y = dequantize(DType::kQ4_1, q41);
  EXPECT_EQ(y[0], 0.0f);
  EXPECT_EQ(y[16], 6.5f);
}

TEST(Dequantize, KQuantsUnpackScalesAndHighBits) {
  // Sub-block 1: scale 2, minimum 3. Sub-block 6: scale 0x2A, minimum 0x15, split over bytes.
  BlockQ4_K q4 = {};
  q4.d = kOne;
  q4.dmin = kHalf;
  q4.scales[1] = 2;
  q4.scales[5] = 3;
  q4.scales[10] = 0x5A;  // low four bits of minimum 6 and scale 6
  q4.scales[2] = 0x80;   // top bits of scale 6: 2
  q4.scales[6] = 0x40;   // top bits of minimum 6: 1
  q4.qs[4] = 0xC0;       // high nibble: value 4 of sub-block 1
  q4.qs[96] = 0x07;      // low nibble: value 0 of sub-block 6
  std::vector<float> y = dequantize(DType::kQ4_K, q4);
  EXPECT_EQ(y[32 + 4], 2 * 12 - 1.5f);
  EXPECT_EQ(y[32 + 5], -1.5f);
  EXPECT_EQ(y[192], 42 * 7 - 10.5f);
  EXPECT_EQ(y[0], 0.0f);

  BlockQ5_K q5 = {};
  std::memcpy(&q5, &q4, 16);
  std::memcpy(q5.qs, q4.qs, 128);
  q5.qh[4] = 1 << 1;
  q5.qh[0] = 1 << 6;
  y = dequantize(DType::kQ5_K, q5);
  EXPECT_EQ(y[32 + 4], 2 * 28 - 1.5f);
  EXPECT_EQ(y[192], 42 * 23 - 10.5f);

  BlockQ6_K q6 = {};
  q6.d = kHalf;
  q6.scales[15] = -128;  // the last sixteen values: half 1, group 3, l 16 to 31
  q6.ql[64 + 32 + 31] = 0xE0;
  q6.qh[32 + 31] = 0xC0;
  y = dequantize(DType::kQ6_K, q6);
  EXPECT_EQ(y[255], 0.5f * -128 * (0x3E - 32));
  EXPECT_EQ(y[254], 0.5f * -128 * -32);
  EXPECT_EQ(y[127], 0.0f);

  BlockQ2_K q2 = {};
  q2.d = kOne;
  q2.dmin = kHalf;
  q2.scales[15] = 0x9C;   // the last sixteen values: scale 12, minimum 9
  q2.qs[32 + 31] = 0xC0;  // the last value: 3
  q2.scales[0] = 0x0F;
  q2.qs[0] = 0x02;
  y = dequantize(DType::kQ2_K, q2);
  EXPECT_EQ(y[255], 12 * 3 - 4.5f);
  EXPECT_EQ(y[254], -4.5f);
  EXPECT_EQ(y[0], 15 * 2.0f);

  BlockQ3_K q3 = {};
  q3.d = kOne;
  q3.scales[7] = 0x40;   // low bits of the last scale: 4
  q3.scales[11] = 0xC0;  // and its top bits: 3
  q3.qs[32 + 31] = 0x80;
  q3.hmask[31] = 0x80;
  y = dequantize(DType::kQ3_K, q3);
  EXPECT_EQ(y[255], (0x34 - 32) * (6 - 4));
  EXPECT_EQ(y[254], (0x34 - 32) * (0 - 4));
  EXPECT_EQ(y[0], -32.0f * -4);
}

TEST(Dequantize, TablesOfFourBits) {
  BlockIQ4_NL nl = {.d = kHalf, .qs = {0x0F}};
  nl.qs[15] = 0xE1;
  std::vector<float> y = dequantize(DType::kIQ4_NL, nl);
  EXPECT_EQ(y[0], 0.5f * 113);
  EXPECT_EQ(y[15], 0.5f * -104);
  EXPECT_EQ(y[16], 0.5f * -127);
  EXPECT_EQ(y[31], 0.5f * 89);

  BlockIQ4_XS xs = {};
  xs.d = kOne;
  xs.scales_l[3] = 0xA0;  // low bits of scale 7, the last
  xs.scales_h = 0x8000;   // and its top bits: 2
  xs.qs[16 * 7 + 1] = 0x80;
  y = dequantize(DType::kIQ4_XS, xs);
  EXPECT_EQ(y[32 * 7 + 1], (0x2A - 32) * -127);
  EXPECT_EQ(y[32 * 7 + 17], (0x2A - 32) * 1);
  EXPECT_EQ(y[0], -32 * -127);

  BlockMXFP4 fp4 = {.e = 127, .qs = {0xF7}};
  fp4.qs[15] = 0x19;
  y = dequantize(DType::kMXFP4, fp4);
  EXPECT_EQ(y[0], 6);
  EXPECT_EQ(y[16], -6);
  EXPECT_EQ(y[15], -0.5f);
  EXPECT_EQ(y[31], 0.5f);
  fp4.e = 0;  // the smallest value is no normal number
  EXPECT_EQ(dequantize(DType::kMXFP4, fp4)[31], 0x1p-128f);
}

}  // namespace
}  // namespace st
