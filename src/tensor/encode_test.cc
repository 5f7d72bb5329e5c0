#include <gtest/gtest.h>

#include <cmath>
#include <initializer_list>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tensor/fit.h"
#include "tensor/float16.h"
#include "tensor/quantize.h"

namespace st {
namespace {

constexpr int64_t kCols = 512;

std::vector<DType> types_with_fits() {
  return {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,   DType::kQ2_K,  DType::kQ3_K,
          DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS};
}

std::vector<std::byte> encode(DType type, const std::vector<float>& x,
                              const float* importance = nullptr) {
  std::vector<std::byte> bytes(row_bytes(type, x.size()));
  quantize_row(type, x.data(), std::ssize(x), bytes.data(), importance);
  return bytes;
}

std::vector<float> decode(DType type, const std::vector<std::byte>& bytes, size_t n) {
  std::vector<float> y(n);
  dequantize_row(type, bytes.data(), static_cast<int64_t>(n), y.data());
  return y;
}

std::vector<float> there_and_back(DType type, const std::vector<float>& x,
                                  const float* importance = nullptr) {
  return decode(type, encode(type, x, importance), x.size());
}

std::vector<float> normal_row(float deviation, unsigned seed, int64_t n = kCols) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = normal(random);
  return x;
}

double loss(const std::vector<float>& x, const std::vector<float>& y,
            const std::vector<float>& importance) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += importance[i] * std::pow(x[i] - double{y[i]}, 2);
  return sum;
}

TEST(Fit, FindsTheScaleOfWhatIsMadeOfCodes) {
  const float codes[16] = {-8, 7, 3, -2, 0, 1, 5, -6, 4, -1, 2, 6, -3, -7, -5, -4};
  float x[16], w[16];
  for (int i = 0; i < 16; ++i) {
    x[i] = 0.37f * codes[i];
    w[i] = 1 + static_cast<float>(i % 3);
  }
  const Scale fit = fit_scale<16>(x, w, signed_codes(8));
  EXPECT_FLOAT_EQ(fit.scale, 0.37f);
  double curvature = 0;
  for (int i = 0; i < 16; ++i) curvature += w[i] * codes[i] * codes[i];
  EXPECT_FLOAT_EQ(fit.curvature, static_cast<float>(curvature));
}

TEST(Fit, FindsScaleAndMinimum) {
  float x[32], w[32];
  for (int i = 0; i < 32; ++i) {
    x[i] = 0.25f * static_cast<float>(i % 16) - 1.7f;
    w[i] = 1;
  }
  const AffineFit fit = fit_scale_and_min<32>(x, w, 15);
  EXPECT_FLOAT_EQ(fit.scale, 0.25f);
  EXPECT_FLOAT_EQ(fit.min, 1.7f);
  EXPECT_EQ(fit.curvature, 32);
}

TEST(Fit, TheMinimumIsNeverAbovePositiveValues) {
  float x[16], w[16];
  for (int i = 0; i < 16; ++i) {
    x[i] = 5 + static_cast<float>(i) / 16;
    w[i] = 1;
  }
  const AffineFit fit = fit_scale_and_min<16>(x, w, 15);
  EXPECT_EQ(fit.min, 0);
  EXPECT_NEAR(fit.scale * 15, 5.5f, 0.5f);
}

TEST(Fit, NoScaleFitsZeros) {
  const float x[16] = {}, w[16] = {};
  EXPECT_EQ(fit_scale<16>(x, w, signed_codes(8)).scale, 0);
  const AffineFit fit = fit_scale_and_min<16>(x, w, 15);
  EXPECT_EQ(fit.scale, 0);
  EXPECT_EQ(fit.min, 0);
}

TEST(Encode, WhatATypeCanHoldStays) {
  // Blocks of a type decode to values that it holds exactly, and its scales can be found in them.
  const std::vector<float> row = normal_row(0.1f, 5);
  for (const DType type : types_with_fits()) {
    const std::vector<float> x = there_and_back(type, row);
    const std::vector<float> y = there_and_back(type, x);
    const double once = loss(row, x, std::vector<float>(x.size(), 1));
    EXPECT_LT(loss(x, y, std::vector<float>(x.size(), 1)), 0.05 * once) << dtype_name(type);
  }
}

TEST(Encode, ZerosAndTinyValuesAreZeros) {
  for (const DTypeInfo& info : all_dtypes()) {
    if (info.block_values == 1) continue;
    for (const float v : {0.0f, -0.0f, 0x1p-149f, -0x1p-140f}) {
      const std::vector<float> x(kCols, v), importance(kCols, 1);
      for (const float* weights : std::initializer_list<const float*>{nullptr, importance.data()}) {
        for (const float y : there_and_back(info.type, x, weights))
          ASSERT_LE(std::fabs(y), 0x1p-126f) << info.name << " " << v;
      }
    }
  }
}

// Whatever there is in a row, an encoder comes to an end and writes blocks.
TEST(Encode, RowsThatAreRefusedLaterAreDefined) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const DTypeInfo& info : all_dtypes()) {
    if (info.encode == nullptr) continue;
    for (const float v : {3e38f, -3e38f, 1e20f, inf, -inf, std::nanf("")}) {
      std::vector<float> x = normal_row(1, 3);
      const std::vector<float> importance(kCols, 0.5f);
      x[5] = v;
      encode(info.type, x);
      encode(info.type, x, importance.data());
      encode(info.type, std::vector<float>(kCols, v));
    }
  }
}

TEST(Encode, TheLargestValuesStayFinite) {
  for (const DTypeInfo& info : all_dtypes()) {
    if (info.encode == nullptr) continue;
    for (const float sign : {1.0f, -1.0f}) {
      std::vector<float> x = normal_row(info.largest / 8, 9), importance(kCols, 1);
      for (float& v : x) v = std::fmin(std::fmax(v, -info.largest), info.largest);
      x[7] = sign * info.largest;
      for (const float* weights : std::initializer_list<const float*>{nullptr, importance.data()}) {
        const std::vector<float> y = there_and_back(info.type, x, weights);
        for (const float v : y) ASSERT_TRUE(std::isfinite(v)) << info.name;
        EXPECT_GT(sign * y[7], 0.5f * info.largest) << info.name;
      }
    }
  }
}

TEST(Encode, ImportanceMovesErrorsToWhereTheyMatterLess) {
  for (const DType type : types_with_fits()) {
    const std::vector<float> x = normal_row(0.02f, 21, 8192);
    std::vector<float> importance(x.size());
    std::mt19937 random(4);
    std::lognormal_distribution<float> spread(0, 1.5f);
    for (float& v : importance) v = spread(random);
    const double without = loss(x, there_and_back(type, x), importance);
    const double with = loss(x, there_and_back(type, x, importance.data()), importance);
    EXPECT_LT(with, 0.97 * without) << dtype_name(type);
  }
}

TEST(Encode, WhereNothingIsImportantAllIsAlike) {
  const std::vector<float> x = normal_row(1, 2), none(kCols, 0);
  for (const DType type : types_with_fits()) {
    if (dtype_info(type).block_values == 32 && type != DType::kIQ4_NL) continue;  // have a rule
    EXPECT_EQ(encode(type, x, none.data()), encode(type, x)) << dtype_name(type);
  }
}

TEST(Encode, ImportanceIsRelative) {
  const std::vector<float> x = normal_row(1, 2);
  std::vector<float> importance(kCols), eightfold(kCols);
  for (size_t i = 0; i < importance.size(); ++i) {
    importance[i] = 0.1f + static_cast<float>(i % 7);
    eightfold[i] = 8 * importance[i];
  }
  for (const DType type : types_with_fits()) {
    EXPECT_EQ(encode(type, x, importance.data()), encode(type, x, eightfold.data()))
        << dtype_name(type);
  }
}

TEST(Encode, MicroscalingExponentsFollowTheLargest) {
  std::vector<float> x(32, 0.0f);
  x[0] = 6;
  x[1] = -2.5f;  // between 2 and 3: the smaller
  x[2] = 0.25f;  // between 0 and 0.5
  x[3] = 0.26f;
  x[31] = -6;
  std::vector<std::byte> bytes = encode(DType::kMXFP4, x);
  EXPECT_EQ(bytes[0], std::byte{127});
  std::vector<float> y = decode(DType::kMXFP4, bytes, 32);
  EXPECT_EQ(y[0], 6);
  EXPECT_EQ(y[1], -2);
  EXPECT_EQ(y[2], 0);
  EXPECT_EQ(y[3], 0.5f);
  EXPECT_EQ(y[31], -6);

  x[0] = 7.9f;  // the same exponent, and cut
  bytes = encode(DType::kMXFP4, x);
  EXPECT_EQ(bytes[0], std::byte{127});
  EXPECT_EQ(decode(DType::kMXFP4, bytes, 32)[0], 6);
}

}  // namespace
}  // namespace st
