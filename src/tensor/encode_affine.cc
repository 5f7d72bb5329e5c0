// Q2_K, Q4_K, Q5_K: sub-blocks with scale and minimum, both small multiples of one of the
// super-block's.
#include "tensor/encode.h"

namespace st {
namespace {

// A super-block in sub-blocks of n values, yet to be packed.
template <int n>
struct Affine {
  Levels<kSuperBlock / n> scale, min;
  std::array<uint8_t, kSuperBlock> codes;
};

// Codes up to `most`, scales and minima up to `most_level`. Minima come first: what rounding one
// does to its sub-block, the scale can make good.
template <int n>
Affine<n> fit_super_block(const RowPart& part, float most, float most_level) {
  constexpr int kCount = kSuperBlock / n;
  const CodeRange codes = unsigned_codes(most), levels = unsigned_codes(most_level);
  Affine<n> fit;
  std::array<Weights<n>, kCount> w;
  std::array<float, kCount> values, curvature;
  for (int k = 0; k < kCount; ++k) {
    w[k] = weigh<n>(part.from(n * k));
    const AffineFit found = fit_scale_and_min<n>(part.x + n * k, w[k].data(), most);
    values[k] = found.min;
    curvature[k] = found.curvature;
  }
  fit.min = choose_levels<kCount>(values, curvature, levels);
  const auto min = [&](int k) { return f16_to_f32(fit.min.d) * fit.min.codes[k]; };
  for (int k = 0; k < kCount; ++k) {
    std::array<float, n> above;
    for (int i = 0; i < n; ++i) above[i] = part.x[n * k + i] + min(k);
    const Scale found = fit_scale<n>(above.data(), w[k].data(), codes);
    values[k] = found.scale;
    curvature[k] = found.curvature;
  }
  fit.scale = choose_levels<kCount>(values, curvature, levels);
  for (int k = 0; k < kCount; ++k) {
    const float scale = f16_to_f32(fit.scale.d) * fit.scale.codes[k];
    choose_codes<n>(part.x + n * k, scale, min(k), codes, fit.codes.data() + n * k);
  }
  return fit;
}

// Eight scales and minima of six bits: the first four of each in bytes 0-3 and 4-7; of the last
// four the low bits in the nibbles of bytes 8-11 and the top bits above the first four.
void pack_six_bits(const Affine<32>& fit, uint8_t* out) {
  const auto &scale = fit.scale.codes, &min = fit.min.codes;
  for (int k = 0; k < 4; ++k) {
    out[k] = static_cast<uint8_t>(scale[k] | scale[k + 4] >> 4 << 6);
    out[k + 4] = static_cast<uint8_t>(min[k] | min[k + 4] >> 4 << 6);
    out[k + 8] = static_cast<uint8_t>((scale[k + 4] & 15) | (min[k + 4] & 15) << 4);
  }
}

// Low four bits: pairs 32 apart.
void pack_pairs(const uint8_t* codes, uint8_t* qs) {
  for (int i = 0; i < kSuperBlock / 2; ++i) {
    const uint8_t* pair = codes + 64 * (i / 32) + i % 32;
    qs[i] = static_cast<uint8_t>((pair[0] & 15) | pair[32] << 4);
  }
}

// All of a block but what its codes have above four bits.
template <typename Block>
Affine<32> encode_nibbles(const RowPart& part, float most, Block& block) {
  const Affine<32> fit = fit_super_block<32>(part, most, 63);
  block.d = fit.scale.d;
  block.dmin = fit.min.d;
  pack_six_bits(fit, block.scales);
  pack_pairs(fit.codes.data(), block.qs);
  return fit;
}

}  // namespace

void encode(const RowPart& part, BlockQ2_K& block) {
  const Affine<16> fit = fit_super_block<16>(part, 3, 15);
  block.d = fit.scale.d;
  block.dmin = fit.min.d;
  for (int k = 0; k < 16; ++k)
    block.scales[k] = static_cast<uint8_t>(fit.scale.codes[k] | fit.min.codes[k] << 4);
  pack_two_bits(fit.codes.data(), 0, block.qs);
}

void encode(const RowPart& part, BlockQ4_K& block) { encode_nibbles(part, 15, block); }

void encode(const RowPart& part, BlockQ5_K& block) {
  const Affine<32> fit = encode_nibbles(part, 31, block);
  pack_single_bits(fit.codes.data(), 4, block.qh);
}

}  // namespace st
