#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "support/recorded_cpus.h"

namespace st {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> random_row(int64_t n, float scale, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = normal(random);
  return x;
}

TEST(PickKernels, BestFirstScalarLast) {
  const auto usable = usable_kernels();
  ASSERT_FALSE(usable.empty());
  EXPECT_EQ(usable.back()->name, "scalar");
  EXPECT_EQ(&pick_kernels(), usable.front());
  for (const KernelTable* table : usable) {
    EXPECT_EQ(table->needs & ~cpu_features(), 0u) << table->name;
    EXPECT_EQ(&pick_kernels(table->name), table);
  }
}

TEST(PickKernels, UnknownNameListsTheUsableOnes) {
  try {
    pick_kernels("mmx\n");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidUsage);
    const std::string message = e.what();
    EXPECT_NE(message.find("mmx\\x0a"), std::string::npos) << message;
    for (const KernelTable* table : usable_kernels()) {
      EXPECT_NE(message.find(table->name), std::string::npos) << message;
    }
  }
}

// Without those that only tests have.
std::vector<const KernelTable*> shipped_kernels(uint64_t features) {
  std::vector<const KernelTable*> tables = usable_kernels(features);
  std::erase_if(tables, [](const KernelTable* t) { return t->name.ends_with("_emulated"); });
  return tables;
}

std::string names_of(std::span<const KernelTable* const> tables, std::string_view between) {
  std::string names;
  for (const KernelTable* table : tables) {
    names += (names.empty() ? "" : std::string(between)) + std::string(table->name);
  }
  return names;
}

#if defined(__x86_64__)
constexpr auto& kRecorded = testkit::kRecordedX86;
#elif defined(__aarch64__)
constexpr auto& kRecorded = testkit::kRecordedArm;
#endif

TEST(PickKernels, OnRecordedCpus) {
  for (const auto& cpu : kRecorded) {
    const auto usable = shipped_kernels(cpu.features);
    EXPECT_EQ(names_of(usable, " "), cpu.kernels) << cpu.name;
    EXPECT_EQ(pick_kernels({}, usable).name, cpu.kernels.substr(0, cpu.kernels.find(' ')));
    for (const KernelTable* table : shipped_kernels(~uint64_t{0})) {
      if (std::ranges::count(usable, table) == 1) {
        EXPECT_EQ(&pick_kernels(table->name, usable), table) << cpu.name;
        continue;
      }
      try {
        pick_kernels(table->name, usable);
        ADD_FAILURE() << cpu.name << ' ' << table->name;
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), ErrorCode::kInvalidUsage);
        EXPECT_EQ(std::string(e.what()), "no kernels called \"" + std::string(table->name) +
                                             "\" for this CPU; usable: " + names_of(usable, ", "))
            << cpu.name;
      }
    }
  }
}

class Kernels : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& k = *GetParam();

  // One block against the rule as kernels.h states it; every bit.
  void check_quantize(const std::vector<float>& x) {
    ASSERT_EQ(x.size(), 32u);
    int8_t q[32];
    float d;
    int32_t sum, half_sum;
    k.quantize_q8(x.data(), 32, q, &d, &sum, &half_sum);
    float peak = 0;
    bool nan = false;
    for (float v : x) {
      peak = std::max(peak, std::fabs(v));
      nan = nan || std::isnan(v);
    }
    if (nan) {
      ASSERT_TRUE(std::isnan(d)) << k.name;
    } else {
      ASSERT_EQ(d, peak / 127) << k.name;
    }
    const float inverse = 1 / d;
    const bool usable = std::isfinite(inverse) && inverse != 0;
    int32_t expected_sum = 0, expected_half = 0;
    for (size_t i = 0; i < 32; ++i) {
      const int expected = usable ? static_cast<int>(std::round(x[i] * inverse)) : 0;
      expected_sum += expected;
      if (i < 16) expected_half += expected;
      ASSERT_EQ(q[i], expected) << k.name << ' ' << i << ' ' << x[i] << " / " << d;
    }
    ASSERT_EQ(sum, expected_sum) << k.name;
    ASSERT_EQ(half_sum, expected_half) << k.name;
  }
};

TEST_P(Kernels, QuantizeIsTheSameEverywhere) {
  unsigned seed = 0;
  for (float scale : {1e-42f, 1e-38f, 1e-36f, 1e-20f, 0.01f, 1.0f, 1e4f, 1e30f, 1e37f}) {
    for (int i = 0; i < 500; ++i) check_quantize(random_row(32, scale, ++seed));
  }
  std::vector<float> ties(32);  // d is 1, or a power of two: every half is hit exactly
  for (float unit : {1.0f, 0x1p-10f, 0x1p100f}) {
    for (int start = -127; start < 127; ++start) {
      for (int i = 0; i < 32; ++i) {
        const float half = static_cast<float>(start) + 0.5f * static_cast<float>(i % 4);
        ties[static_cast<size_t>(i)] =
            unit * (i % 3 ? half : std::nextafter(half, i % 2 ? kInf : -kInf));
      }
      ties[31] = 127 * unit;
      check_quantize(ties);
      ties[31] = -127 * unit;
      check_quantize(ties);
    }
  }
}

TEST_P(Kernels, QuantizeDegenerateBlocks) {
  for (float v : {0.0f, -0.0f, 1e-45f, FLT_MIN, 0x1p-121f, 127 * 0x1p-128f, 126 * 0x1p-128f,
                  FLT_MAX, -FLT_MAX, kInf, -kInf, kNan, -kNan}) {
    check_quantize(std::vector<float>(32, v));
    for (size_t i : {0, 13, 31}) {
      std::vector<float> x = random_row(32, 1, 5);
      x[i] = v;
      check_quantize(x);
      x[(i + 9) % 32] = kInf;
      check_quantize(x);
      x.assign(32, 0);
      x[i] = v;
      check_quantize(x);
    }
  }
}

TEST_P(Kernels, QuantizeRowsOfBlocks) {
  const std::vector<float> x = random_row(32 * 9, 3, 1);
  std::vector<int8_t> q(x.size() + 1, 99), one(32);
  std::vector<float> d(10, 99);
  std::vector<int32_t> sum(10, 99), half_sum(10, 99);
  k.quantize_q8(x.data(), static_cast<int64_t>(x.size()), q.data(), d.data(), sum.data(),
                half_sum.data());
  for (size_t b = 0; b < 9; ++b) {
    float d1;
    int32_t sum1, half_sum1;
    k.quantize_q8(&x[b * 32], 32, one.data(), &d1, &sum1, &half_sum1);
    EXPECT_EQ(std::memcmp(&q[b * 32], one.data(), 32), 0);
    EXPECT_EQ(d[b], d1);
    EXPECT_EQ(sum[b], sum1);
    EXPECT_EQ(half_sum[b], half_sum1);
  }
  EXPECT_EQ(q.back(), 99);
  EXPECT_EQ(d.back(), 99);
  EXPECT_EQ(sum.back(), 99);
  EXPECT_EQ(half_sum.back(), 99);
}

TEST_P(Kernels, RmsNorm) {
  for (int64_t n : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 128, 2560, 2561}) {
    for (float scale : {0.0f, 1e-6f, 1.0f, 1e4f}) {
      const auto seed = static_cast<unsigned>(n);
      const std::vector<float> x = random_row(n, scale, seed);
      const std::vector<float> weight = random_row(n, 1, seed + 1);
      const float eps = 1e-6f;
      double squares = 0;
      for (float v : x) squares += double{v} * v;
      const double norm = std::sqrt(squares / static_cast<double>(n) + eps);
      std::vector<float> y(x.size() + 1, 99);
      k.rms_norm(x.data(), weight.data(), eps, n, y.data());
      for (size_t i = 0; i < x.size(); ++i) {
        const double expected = weight[i] * (x[i] / norm);
        ASSERT_NEAR(y[i], expected, std::fabs(expected) * 0x1p-24 * (6 + double(n) / 16) + 1e-44)
            << k.name << ' ' << n << ' ' << scale;
      }
      EXPECT_EQ(y.back(), 99);

      std::vector<float> in_place = x;
      k.rms_norm(in_place.data(), weight.data(), eps, n, in_place.data());
      EXPECT_EQ(std::memcmp(in_place.data(), y.data(), x.size() * sizeof(float)), 0);

      const std::vector<float> ones(x.size(), 1);
      k.rms_norm(x.data(), ones.data(), eps, n, in_place.data());
      k.rms_norm(x.data(), nullptr, eps, n, y.data());
      EXPECT_EQ(std::memcmp(in_place.data(), y.data(), x.size() * sizeof(float)), 0);
      EXPECT_EQ(y.back(), 99);
    }
  }
}

TEST_P(Kernels, SiluMultiply) {
  for (int64_t n : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 100, 1001}) {
    std::vector<float> gate = random_row(n, 8, static_cast<unsigned>(n)), up = gate;
    std::ranges::reverse(up);
    for (size_t i = 0; i < gate.size(); i += 13) gate[i] *= i % 2 == 0 ? 20.0f : -20.0f;
    std::vector<float> y = gate;
    y.push_back(99);
    k.silu_multiply(y.data(), up.data(), n);
    for (size_t i = 0; i < gate.size(); ++i) {
      const double want = gate[i] / (1 + std::exp(-double{gate[i]})) * up[i];
      ASSERT_NEAR(y[i], want, std::fabs(want) * 0x1p-24 * 8 + 1e-33)
          << k.name << ' ' << gate[i] << ' ' << up[i];
      float alone = gate[i];  // cut as it likes, a row gives the same bits
      k.silu_multiply(&alone, &up[i], 1);
      ASSERT_EQ(std::memcmp(&alone, &y[i], sizeof alone), 0) << k.name << ' ' << gate[i];
    }
    EXPECT_EQ(y.back(), 99);
  }
}

// The definition, where its 1 + tanh has digits left.
double gelu(double x) {
  const double z = std::sqrt(8 / std::acos(-1.0)) * (x + 0.044715 * x * x * x);
  return z > -20 ? 0.5 * x * (1 + std::tanh(z / 2)) : x * std::exp(z);
}

// How exact gelu is there: exp turns the absolute error of its argument into a relative one.
double gelu_bar(double x) {
  return std::fabs(gelu(x)) * 0x1p-24 * (8 + 8 * std::fabs(x + 0.044715 * x * x * x)) + 1e-33;
}

TEST_P(Kernels, GeluMultiply) {
  for (int64_t n : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 100, 1001}) {
    std::vector<float> gate = random_row(n, 3, static_cast<unsigned>(n)), up = gate;
    std::ranges::reverse(up);
    for (size_t i = 0; i < gate.size(); i += 13) gate[i] *= i % 2 == 0 ? 20.0f : 1e-3f;
    std::vector<float> y = gate;
    y.push_back(99);
    k.gelu_multiply(y.data(), up.data(), n);
    for (size_t i = 0; i < gate.size(); ++i) {
      const double bar = gelu_bar(gate[i]) * std::fabs(up[i]) + 1e-33;
      ASSERT_NEAR(y[i], gelu(gate[i]) * up[i], bar) << k.name << ' ' << gate[i] << ' ' << up[i];
      float alone = gate[i];  // cut as it likes, a row gives the same bits
      k.gelu_multiply(&alone, &up[i], 1);
      ASSERT_EQ(std::memcmp(&alone, &y[i], sizeof alone), 0) << k.name << ' ' << gate[i];
    }
    EXPECT_EQ(y.back(), 99);
  }
}

TEST_P(Kernels, GeluAbove) {
  for (int64_t n : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 100, 1001}) {
    for (const float cutoff : {0.0f, 1.3f, -0.7f, 50.0f}) {
      const std::vector<float> x = random_row(n, 1, static_cast<unsigned>(n));
      std::vector<float> y = x;
      y.push_back(99);
      const int64_t on = k.gelu_above(y.data(), cutoff, n);
      int64_t above = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const float rest = x[i] - cutoff;
        above += rest > 0;
        if (rest > 0) {
          ASSERT_NEAR(y[i], gelu(rest), gelu_bar(rest)) << k.name << ' ' << x[i] << ' ' << cutoff;
        } else {
          ASSERT_EQ(y[i], 0) << k.name << ' ' << x[i] << ' ' << cutoff;
        }
        float alone = x[i];
        ASSERT_EQ(k.gelu_above(&alone, cutoff, 1), rest > 0) << k.name;
        ASSERT_EQ(std::memcmp(&alone, &y[i], sizeof alone), 0) << k.name << ' ' << x[i];
      }
      EXPECT_EQ(on, above) << k.name << ' ' << n << ' ' << cutoff;
      EXPECT_EQ(y.back(), 99);
    }
  }
}

TEST_P(Kernels, GeluOfWhatIsNoOrdinaryNumber) {
  const auto gelu_of = [&](float x) {
    const float one = 1;
    k.gelu_multiply(&x, &one, 1);
    return x;
  };
  EXPECT_EQ(gelu_of(0), 0);
  EXPECT_EQ(gelu_of(-0.0f), 0);
  EXPECT_EQ(gelu_of(FLT_MAX), FLT_MAX);
  EXPECT_EQ(gelu_of(-FLT_MAX), 0);
  EXPECT_EQ(gelu_of(kInf), kInf);
  EXPECT_TRUE(std::isnan(gelu_of(kNan)));
  for (const float cutoff : {0.0f, kNan}) {
    float x = cutoff == 0 ? kNan : 1;
    k.gelu_above(&x, cutoff, 1);
    EXPECT_TRUE(std::isnan(x)) << k.name;
  }
}

TEST_P(Kernels, SoftCap) {
  for (int64_t n : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 100, 1001}) {
    for (const float scale : {1e-6f, 0.05f, 1.0f, 10.0f, 100.0f}) {
      const std::vector<float> x = random_row(n, scale, static_cast<unsigned>(n));
      std::vector<float> y = x;
      y.push_back(99);
      k.soft_cap(y.data(), 30, n);
      for (size_t i = 0; i < x.size(); ++i) {
        const double want = 30 * std::tanh(double{x[i]} / 30);
        ASSERT_NEAR(y[i], want, std::fabs(want) * 0x1p-24 * 8) << k.name << ' ' << x[i];
      }
      EXPECT_EQ(y.back(), 99);
    }
  }
  float odd[] = {0, -0.0f, FLT_MAX, -FLT_MAX, kInf, -kInf, kNan};
  k.soft_cap(odd, 20, 7);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(odd[i], i < 2 ? 0 : i % 2 == 0 ? 20 : -20) << k.name << ' ' << i;
  }
  EXPECT_TRUE(std::isnan(odd[6]));
}

TEST_P(Kernels, SiluOfWhatIsNoOrdinaryNumber) {
  const auto silu = [&](float x) {
    const float one = 1;
    k.silu_multiply(&x, &one, 1);
    return x;
  };
  EXPECT_EQ(silu(0), 0);
  EXPECT_EQ(silu(-0.0f), 0);
  EXPECT_EQ(silu(FLT_MAX), FLT_MAX);
  EXPECT_EQ(silu(-FLT_MAX), 0);
  EXPECT_EQ(silu(kInf), kInf);
  EXPECT_TRUE(std::isnan(silu(kNan)));
}

// What the forward pass does without asking.
TEST_P(Kernels, FormatsAreWhole) {
  for (const WeightFormat& format : k.formats) {
    const std::string_view name = dtype_name(format.type);
    EXPECT_EQ(&k.format(format.type), &format) << name << " comes twice";
    EXPECT_NE(format.gemm_float != nullptr, is_split(format.type)) << name;
    EXPECT_EQ(format.wants_q8(), is_split(format.type)) << name;
    EXPECT_EQ(format.unpack != nullptr, format.wants_q8() && k.tile_tokens > 0) << name;
    EXPECT_EQ(format.gemm != nullptr, format.unpack != nullptr) << name;
    EXPECT_EQ(format.sum_rows != nullptr, is_split(format.type)) << name;
    EXPECT_EQ(format.sum_columns != nullptr, can_regroup(format.type, kColumnTile, kSuperBlock))
        << name;
  }
  EXPECT_NE(k.format(DType::kF32).gemm_float, nullptr);
  EXPECT_FALSE(k.format(DType::kI8).wants_q8());
  EXPECT_EQ(k.format(DType::kI8).gemm_float, nullptr);
}

INSTANTIATE_TEST_SUITE_P(Tables, Kernels, testing::ValuesIn(usable_kernels()),
                         [](const auto& table) { return std::string(table.param->name); });

}  // namespace
}  // namespace st
