// IEEE half precision, bfloat16 and powers of two <-> float, in portable code (F16C paths live in
// the kernels).
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace st {

inline float f16_to_f32(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t exponent = (h >> 10) & 0x1F;
  const uint32_t mantissa = h & 0x3FF;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000 | (mantissa << 13));
  if (exponent != 0) {
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  }
  // Subnormal: mantissa * 2^-24, exact in float.
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return sign ? -magnitude : magnitude;
}

// Whether none of n halves, anywhere in memory, is infinite or NaN.
inline bool halves_are_finite(const uint8_t* p, int64_t n) {
  constexpr int16_t kExponent = 0x7C00;
  int16_t largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    int16_t half;
    std::memcpy(&half, p + 2 * i, sizeof half);
    const auto exponent = static_cast<int16_t>(half & kExponent);
    largest = exponent > largest ? exponent : largest;
  }
  return largest != kExponent;
}

// Rounds to nearest, ties to even; overflow gives infinity, NaN stays NaN.
inline uint16_t f32_to_f16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) {  // NaN: keep the top of the payload, force it to be quiet
    return static_cast<uint16_t>(sign | 0x7E00 | ((magnitude >> 13) & 0x1FF));
  }
  if (magnitude >= 0x477FF000) return static_cast<uint16_t>(sign | 0x7C00);  // >= 65520
  if (magnitude < 0x38800000) {  // below 2^-14: let the float adder round to a multiple of 2^-24
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000));
  }
  const uint32_t odd = (magnitude >> 13) & 1;
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000 + 0xFFF + odd) >> 13));
}

inline float bf16_to_f32(uint16_t b) {
  return std::bit_cast<float>(static_cast<uint32_t>(b) << 16);
}

// Rounds to nearest, ties to even; NaN stays a quiet NaN.
inline uint16_t f32_to_bf16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<uint16_t>((bits >> 16) | 64);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// 2^(e - 128), half of what the exponents of OCP microscaling formats mean; subnormal for 0 and 1.
// The one that is NaN there is 2^127, as llama.cpp has it.
inline constexpr uint8_t kE8M0NaN = 255;
inline float half_e8m0_to_f32(uint8_t e) {
  return std::bit_cast<float>(e < 2 ? uint32_t{1} << (21 + e) : (uint32_t{e} - 1) << 23);
}

}  // namespace st
