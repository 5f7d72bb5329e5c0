// IQ4_NL, IQ4_XS, MXFP4: codes are places in a table of values.
#include "tensor/encode.h"

namespace st {
namespace {

// The nearest of kIQ4Values, and its place.
Lanes nearest_value(Lanes v) {
  Lanes value = lanes(kIQ4Values[0]);
  for (int k = 1; k < 16; ++k) {
    const auto below = static_cast<float>(kIQ4Values[k - 1]);
    const auto step = static_cast<float>(kIQ4Values[k] - kIQ4Values[k - 1]);
    value += v >= lanes(below + step / 2) ? lanes(step) : lanes(0);
  }
  return value;
}

void choose_places(const float* x, float scale, uint8_t* out) {
  const Lanes norm = lanes(inverse(scale));
  for (int i = 0; i < kBlock; i += kLanes) {
    const Lanes v = load_lanes(x + i) * norm;
    Lanes place = lanes(0);
    for (int k = 1; k < 16; ++k) {
      const auto middle = static_cast<float>(kIQ4Values[k - 1] + kIQ4Values[k]) / 2;
      place += v >= lanes(middle) ? lanes(1) : lanes(0);
    }
    for (int j = 0; j < kLanes; ++j) out[i + j] = static_cast<uint8_t>(place[j]);
  }
}

Scale fit_block(const RowPart& part) {
  return fit_scale_by<kBlock>(part.x, weigh<kBlock>(part).data(), find_peak<kBlock>(part.x),
                              kIQ4Values[0], 1, 7, nearest_value);
}

}  // namespace

void encode(const RowPart& part, BlockIQ4_NL& block) {
  block.d = stored_scale(fit_block(part).scale);
  std::array<uint8_t, kBlock> codes;
  choose_places(part.x, f16_to_f32(block.d), codes.data());
  pack_nibbles(codes.data(), block.qs);
}

void encode(const RowPart& part, BlockIQ4_XS& block) {
  std::array<float, 8> scales, curvature;
  for (int k = 0; k < 8; ++k) {
    const Scale fit = fit_block(part.from(kBlock * k));
    scales[k] = fit.scale;
    curvature[k] = fit.curvature;
  }
  const Levels<8> levels = choose_levels<8>(scales, curvature, signed_codes(32));
  block = {.d = levels.d};
  for (int k = 0; k < 8; ++k) {
    const int level = levels.codes[k];
    block.scales_h = static_cast<uint16_t>(block.scales_h | level >> 4 << (2 * k));
    block.scales_l[k / 2] =
        static_cast<uint8_t>(block.scales_l[k / 2] | (level & 15) << (4 * (k % 2)));
    std::array<uint8_t, kBlock> codes;
    choose_places(part.x + kBlock * k, f16_to_f32(levels.d) * static_cast<float>(level - 32),
                  codes.data());
    pack_nibbles(codes.data(), block.qs + kBlock / 2 * k);
  }
}

namespace {

// The nearest of kE2M1Values, the smaller where two are.
uint8_t to_e2m1(float v) {
  int code = 0;
  for (int k = 0; k < 7; ++k) {
    const float middle = static_cast<float>(kE2M1Values[k] + kE2M1Values[k + 1]) / 2;
    code += std::fabs(v) > middle ? 1 : 0;
  }
  return static_cast<uint8_t>(code | (v < 0 && code > 0 ? 8 : 0));
}

}  // namespace

// llama.cpp's rule, which searches nothing: the largest value is 4 to 8 before it is cut to 6.
void encode(const RowPart& part, BlockMXFP4& block) {
  const float peak = std::fabs(find_peak<kBlock>(part.x));
  const float exponent = peak > 0 ? std::floor(std::log2(peak)) - 2 + 127 : 0;
  block.e = static_cast<uint8_t>(exponent > 0 ? (exponent < 254 ? exponent : 254) : 0);
  const float d = half_e8m0_to_f32(block.e);
  std::array<uint8_t, kBlock> codes;
  for (int i = 0; i < kBlock; ++i) codes[i] = to_e2m1(part.x[i] / d);
  pack_nibbles(codes.data(), block.qs);
}

}  // namespace st
