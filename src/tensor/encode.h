// Blocks of each type from the values that they hold, for encode_row: one function per element.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "tensor/blocks.h"
#include "tensor/coding.h"
#include "tensor/fit.h"
#include "tensor/float16.h"

namespace st {

// What an element, or a sub-block of it, is made of.
struct RowPart {
  const float* x;
  const float* importance;  // how much errors count; null: all alike
  float square;             // twice the mean of x^2 of the element; 0 without importance

  RowPart from(int i) const {
    return {x + i, importance == nullptr ? nullptr : importance + i, square};
  }
};

void encode(const RowPart& part, BlockQ4_0& block);
void encode(const RowPart& part, BlockQ4_1& block);
void encode(const RowPart& part, BlockQ5_0& block);
void encode(const RowPart& part, BlockQ5_1& block);
void encode(const RowPart& part, BlockQ8_0& block);
void encode(const RowPart& part, BlockIQ4_NL& block);
void encode(const RowPart& part, BlockMXFP4& block);
void encode(const RowPart& part, BlockQ2_K& block);
void encode(const RowPart& part, BlockQ3_K& block);
void encode(const RowPart& part, BlockQ4_K& block);
void encode(const RowPart& part, BlockQ5_K& block);
void encode(const RowPart& part, BlockQ6_K& block);
void encode(const RowPart& part, BlockIQ4_XS& block);

float mean_square(const float* x, int64_t n);

// A scale that was fitted, in half precision: not infinite where a fit goes a little beyond.
inline uint16_t stored_scale(float scale) {
  constexpr float kMost = 65504;
  return f32_to_f16(scale < kMost ? (scale > -kMost ? scale : -kMost) : kMost);
}

template <int n>
using Weights = std::array<float, n>;

// Weights of errors for a fit: what is more important, and what is large, counts more. Without
// importance, or where it is 0 throughout, the size alone decides.
template <int n>
Weights<n> weigh(const RowPart& part) {
  Weights<n> w;
  float sum = 0;
  for (int i = 0; part.importance != nullptr && i < n; ++i) {
    w[i] = part.importance[i] * std::sqrt(part.square + part.x[i] * part.x[i]);
    sum += w[i];
  }
  if (sum > 0) return w;
  const float rms = std::sqrt(mean_square(part.x, n));
  for (int i = 0; i < n; ++i) w[i] = rms + std::fabs(part.x[i]);
  return w;
}

// The codes, less codes.low, whose values scale * code - min are nearest to x.
template <int n>
void choose_codes(const float* x, float scale, float min, CodeRange codes, uint8_t* out) {
  const Lanes norm = lanes(inverse(scale)), offset = lanes(min);
  for (int i = 0; i < n; i += kLanes) {
    const Lanes v = round_lanes((load_lanes(x + i) + offset) * norm);
    const Lanes code = clamp_lanes(v, lanes(codes.low), lanes(codes.high)) - lanes(codes.low);
    for (int j = 0; j < kLanes; ++j) out[i + j] = static_cast<uint8_t>(code[j]);
  }
}

// The scales (or minima) of a super-block's n sub-blocks as multiples of one half-precision number.
template <int n>
struct Levels {
  uint16_t d;
  std::array<uint8_t, n> codes;  // less the lowest
};

// curvature: of what is lost over each scale.
template <int n>
Levels<n> choose_levels(const std::array<float, n>& scales, const std::array<float, n>& curvature,
                        CodeRange range) {
  Levels<n> levels;
  levels.d = stored_scale(fit_scale<n>(scales.data(), curvature.data(), range).scale);
  choose_codes<n>(scales.data(), f16_to_f32(levels.d), 0, range, levels.codes.data());
  return levels;
}

// Codes of 32 values as blocks of 32 have them: low bits in pairs 16 apart, fifth bits in a row.
inline void pack_nibbles(const uint8_t* codes, uint8_t* qs) {
  for (int i = 0; i < kBlock / 2; ++i)
    qs[i] = static_cast<uint8_t>((codes[i] & 15) | codes[i + kBlock / 2] << 4);
}
inline void pack_fifth_bits(const uint8_t* codes, uint8_t* qh) {
  for (int i = 0; i < kBlock / 8; ++i) {
    int byte = 0;
    for (int b = 0; b < 8; ++b) byte |= (codes[8 * i + b] >> 4 & 1) << b;
    qh[i] = static_cast<uint8_t>(byte);
  }
}

// Two bits, or one, of the codes of a super-block: a byte has those of values 32 apart, two bits of
// four in a half of 128, single ones of all eight.
inline void pack_two_bits(const uint8_t* codes, int shift, uint8_t* out) {
  for (int i = 0; i < kSuperBlock / 4; ++i) {
    int byte = 0;
    for (int g = 0; g < 4; ++g)
      byte |= (codes[128 * (i / 32) + 32 * g + i % 32] >> shift & 3) << (2 * g);
    out[i] = static_cast<uint8_t>(byte);
  }
}
inline void pack_single_bits(const uint8_t* codes, int shift, uint8_t* out) {
  for (int i = 0; i < kSuperBlock / 8; ++i) {
    int byte = 0;
    for (int g = 0; g < 8; ++g) byte |= (codes[32 * g + i] >> shift & 1) << g;
    out[i] = static_cast<uint8_t>(byte);
  }
}

}  // namespace st
