// Q3_K and Q6_K: sub-blocks of 16 with a scale, a multiple of the super-block's.
#include "tensor/encode.h"

namespace st {
namespace {

constexpr int kSub = 16, kCount = kSuperBlock / kSub;

struct Symmetric {
  Levels<kCount> scale;
  std::array<uint8_t, kSuperBlock> codes;
};

// Codes from -n to n - 1, scales from -m to m - 1 times d.
Symmetric fit_super_block(const RowPart& part, float n, float m) {
  const CodeRange codes = signed_codes(n);
  std::array<float, kCount> scales, curvature;
  for (int k = 0; k < kCount; ++k) {
    const Weights<kSub> w = weigh<kSub>(part.from(kSub * k));
    const Scale found = fit_scale<kSub>(part.x + kSub * k, w.data(), codes);
    scales[k] = found.scale;
    curvature[k] = found.curvature;
  }
  Symmetric fit;
  fit.scale = choose_levels<kCount>(scales, curvature, signed_codes(m));
  for (int k = 0; k < kCount; ++k) {
    const float scale = f16_to_f32(fit.scale.d) * (static_cast<float>(fit.scale.codes[k]) - m);
    choose_codes<kSub>(part.x + kSub * k, scale, 0, codes, fit.codes.data() + kSub * k);
  }
  return fit;
}

// Sixteen scales of six bits: low ones in the nibbles of bytes 0-7, the top two of four scales in
// each of bytes 8-11.
void pack_six_bits(const std::array<uint8_t, kCount>& scales, uint8_t* out) {
  for (int k = 0; k < 8; ++k)
    out[k] = static_cast<uint8_t>((scales[k] & 15) | (scales[k + 8] & 15) << 4);
  for (int k = 0; k < 4; ++k) {
    int top = 0;
    for (int i = 0; i < 4; ++i) top |= scales[4 * i + k] >> 4 << (2 * i);
    out[8 + k] = static_cast<uint8_t>(top);
  }
}

// Low four bits: pairs 64 apart.
void pack_pairs(const uint8_t* codes, uint8_t* ql) {
  for (int i = 0; i < kSuperBlock / 2; ++i) {
    const uint8_t* pair = codes + 128 * (i / 64) + i % 64;
    ql[i] = static_cast<uint8_t>((pair[0] & 15) | pair[64] << 4);
  }
}

}  // namespace

void encode(const RowPart& part, BlockQ3_K& block) {
  const Symmetric fit = fit_super_block(part, 4, 32);
  block.d = fit.scale.d;
  pack_six_bits(fit.scale.codes, block.scales);
  pack_two_bits(fit.codes.data(), 0, block.qs);
  pack_single_bits(fit.codes.data(), 2, block.hmask);
}

void encode(const RowPart& part, BlockQ6_K& block) {
  const Symmetric fit = fit_super_block(part, 32, 128);
  block.d = fit.scale.d;
  for (int k = 0; k < kCount; ++k) block.scales[k] = static_cast<int8_t>(fit.scale.codes[k] - 128);
  pack_pairs(fit.codes.data(), block.ql);
  pack_two_bits(fit.codes.data(), 4, block.qh);
}

}  // namespace st
