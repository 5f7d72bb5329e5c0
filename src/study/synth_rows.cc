#include "study/synth_rows.h"

#include <array>
#include <cmath>
#include <cstring>

#include "tensor/blocks.h"
#include "tensor/float16.h"

namespace st {

// exp(-y) as 1 / exp(y), whose series has no cancellation.
double normal_density(double x) {
  const double y = x * x / 2;
  double sum = 1;
  double term = 1;
  for (int n = 1; n < 200 && term > sum * 1e-17; ++n) {
    term *= y / n;
    sum += term;
  }
  constexpr double kPeak = 0.398942280401432677939946;  // 1 / sqrt(2 pi)
  return kPeak / sum;
}

// 1/2 + density(x) (x + x^3/3 + x^5/(3 5) + ...)
double normal_cdf(double x) {
  double sum = 0;
  double term = x;
  for (int n = 1; n < 400 && std::abs(term) > std::abs(sum) * 1e-17; ++n) {
    sum += term;
    term *= x * x / (2 * n + 1);
  }
  return 0.5 + normal_density(x) * sum;
}

double normal_quantile(double p) {
  double low = -6;
  double high = 6;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (normal_cdf(middle) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

double rectified_square(double t) {
  return (1 + t * t) * (1 - normal_cdf(t)) - t * normal_density(t);
}

namespace {

// The normal distribution cut into 16 equally likely parts, each stood for by its median, times
// 127 / 1.863 and 7 / 1.863 rounded: the largest magnitude of a block then uses all of its type.
constexpr std::array<int8_t, 16> kQuantiles8 = {-127, -90, -69, -53, -40, -27, -16, -5,
                                                5,    16,  27,  40,  53,  69,  90,  127};
constexpr std::array<int8_t, 16> kQuantiles4 = {-7, -5, -4, -3, -2, -2, -1, 0,
                                                0,  1,  2,  2,  3,  4,  5,  7};

template <size_t n>
double deviation_of(const std::array<int8_t, n>& values) {
  double sum = 0;
  for (const int8_t v : values) sum += v * v;
  return std::sqrt(sum / n);
}

// Scales differ from block to block as in real files. The table is symmetric because its index is
// shared with a weight: the product must stay free of bias.
constexpr std::array<double, 16> kSpread = {0.7,  1.2, 0.95, 1.1, 0.8, 1.3,  0.9, 1.05,
                                            1.05, 0.9, 1.3,  0.8, 1.1, 0.95, 1.2, 0.7};

// Halves of the scales of random blocks.
std::array<uint16_t, 16> scales(double deviation, double deviation_of_codes) {
  double square = 0;
  for (const double s : kSpread) square += s * s;
  const double unit = deviation / deviation_of_codes / std::sqrt(square / kSpread.size());
  std::array<uint16_t, 16> halves;
  for (size_t i = 0; i < halves.size(); ++i)
    halves[i] = f32_to_f16(static_cast<float>(unit * kSpread[i]));
  return halves;
}

// A byte of random bits -> a byte of two codes.
std::array<uint8_t, 256> make_nibble_pairs() {
  std::array<uint8_t, 256> pairs;
  for (size_t i = 0; i < 256; ++i)
    pairs[i] = static_cast<uint8_t>((kQuantiles4[i & 15] + 8) | (kQuantiles4[i >> 4] + 8) << 4);
  return pairs;
}

struct Q4_0 {
  using Block = BlockQ4_0;
  static double deviation() { return deviation_of(kQuantiles4); }

  static void random(uint64_t low, uint64_t high, uint16_t scale, Block& block) {
    static const std::array<uint8_t, 256> kPairs = make_nibble_pairs();
    block.d = scale;
    for (size_t i = 0; i < 8; ++i) {
      block.qs[i] = kPairs[(low >> (8 * i)) & 255];
      block.qs[i + 8] = kPairs[(high >> (8 * i)) & 255];
    }
  }
  static void pattern(float value, uint32_t mask, Block& block) {
    block.d = f32_to_f16(0 - value / 8);  // code 0 stands for -8 d, code 8 for 0
    for (size_t i = 0; i < 16; ++i) {
      const int low = mask >> i & 1 ? 0 : 8;
      const int high = mask >> (i + 16) & 1 ? 0 : 8;
      block.qs[i] = static_cast<uint8_t>(low | high << 4);
    }
  }
};

struct Q8_0 {
  using Block = BlockQ8_0;
  static double deviation() { return deviation_of(kQuantiles8); }

  static void random(uint64_t low, uint64_t high, uint16_t scale, Block& block) {
    block.d = scale;
    for (size_t i = 0; i < 16; ++i) {
      block.qs[i] = kQuantiles8[(low >> (4 * i)) & 15];
      block.qs[i + 16] = kQuantiles8[(high >> (4 * i)) & 15];
    }
  }
  static void pattern(float value, uint32_t mask, Block& block) {
    block.d = f32_to_f16(value / 64);
    for (size_t i = 0; i < 32; ++i) block.qs[i] = mask >> i & 1 ? 64 : 0;
  }
};

// 32 numbers of a type that is no block, with the values that Q8_0 would have.
template <typename Number, Number (*convert)(float)>
struct Floats {
  using Block = std::array<Number, kBlock>;
  static double deviation() { return deviation_of(kQuantiles8); }

  static void random(uint64_t low, uint64_t high, uint16_t scale, Block& block) {
    std::array<Number, 16> values;
    for (size_t i = 0; i < 16; ++i) values[i] = convert(kQuantiles8[i] * f16_to_f32(scale));
    for (size_t i = 0; i < 16; ++i) {
      block[i] = values[(low >> (4 * i)) & 15];
      block[i + 16] = values[(high >> (4 * i)) & 15];
    }
  }
  static void pattern(float value, uint32_t mask, Block& block) {
    for (size_t i = 0; i < 32; ++i) block[i] = convert(mask >> i & 1 ? value : 0);
  }
};

float same(float value) { return value; }

using F32 = Floats<float, same>;
using F16 = Floats<uint16_t, f32_to_f16>;
using BF16 = Floats<uint16_t, f32_to_bf16>;

template <typename Format>
std::byte* fill(uint64_t key, const Row& row, std::byte* out) {
  static const double kDeviation = Format::deviation();
  typename Format::Block block;
  const auto put = [&] {
    std::memcpy(out, &block, sizeof(block));
    out += sizeof(block);
  };
  for (const Stretch& stretch : row) {
    if (stretch.deviation == 0) {
      Format::pattern(stretch.value, stretch.mask, block);
      for (int64_t b = 0; b < stretch.blocks; ++b) put();
      continue;
    }
    const std::array<uint16_t, 16> d = scales(stretch.deviation, kDeviation);
    for (int64_t b = 0; b < stretch.blocks; ++b) {
      const auto counter = static_cast<uint64_t>(stretch.first_block + b) * 2;
      const uint64_t low = mix_bits(key, counter);
      Format::random(low, mix_bits(key, counter + 1), d[low & 15], block);
      put();
    }
  }
  return out;
}

}  // namespace

// SplitMix64's finaliser over a Weyl sequence (Steele, Lea and Flood, 2014).
uint64_t mix_bits(uint64_t key, uint64_t counter) {
  uint64_t z = key + (counter + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

double unit_interval(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

double normal_deviate(uint64_t bits) {
  static const double kDeviation = deviation_of(kQuantiles8);
  return kQuantiles8[bits >> 60] / kDeviation;
}

bool can_fill(DType type) {
  return type == DType::kQ4_0 || type == DType::kQ8_0 || type == DType::kF16 ||
         type == DType::kBF16 || type == DType::kF32;
}

std::byte* fill_row(DType type, uint64_t key, const Row& row, std::byte* out) {
  switch (type) {
    case DType::kQ4_0:
      return fill<Q4_0>(key, row, out);
    case DType::kQ8_0:
      return fill<Q8_0>(key, row, out);
    case DType::kF16:
      return fill<F16>(key, row, out);
    case DType::kBF16:
      return fill<BF16>(key, row, out);
    default:
      return fill<F32>(key, row, out);
  }
}

}  // namespace st
