// Q4_0, Q4_1, Q5_0, Q5_1. Without importance their rules are llama.cpp's to the bit, and search
// nothing: the scale follows from the largest values, before it is rounded to half precision.
#include "tensor/encode.h"

namespace st {
namespace {

struct Codes {
  uint16_t d, m;
  std::array<uint8_t, kBlock> q;
};

// v without its fraction, within 0 .. most; NaN gives 0.
uint8_t truncate(float v, int most) {
  if (!(v > 0)) return 0;
  return static_cast<uint8_t>(v < static_cast<float>(most) ? v : static_cast<float>(most));
}

// The first value of largest magnitude becomes -n; values of the other sign have a step less.
Codes symmetric_by_rule(const float* x, int n) {
  const float d = find_peak<kBlock>(x) / static_cast<float>(-n);
  const float scale = inverse(d);
  Codes codes{f32_to_f16(d), 0, {}};
  for (int i = 0; i < kBlock; ++i)
    codes.q[i] = truncate(x[i] * scale + (static_cast<float>(n) + 0.5f), 2 * n - 1);
  return codes;
}

Codes affine_by_rule(const float* x, int most) {
  float min = x[0], max = x[0];
  for (int i = 1; i < kBlock; ++i) {
    if (x[i] < min) min = x[i];
    if (x[i] > max) max = x[i];
  }
  const float d = (max - min) / static_cast<float>(most);
  const float scale = inverse(d);
  Codes codes{f32_to_f16(d), f32_to_f16(min), {}};
  for (int i = 0; i < kBlock; ++i) codes.q[i] = truncate((x[i] - min) * scale + 0.5f, most);
  return codes;
}

Codes symmetric(const RowPart& part, int n) {
  if (part.importance == nullptr) return symmetric_by_rule(part.x, n);
  const CodeRange range = signed_codes(static_cast<float>(n));
  Codes codes{};
  codes.d = stored_scale(fit_scale<kBlock>(part.x, weigh<kBlock>(part).data(), range).scale);
  choose_codes<kBlock>(part.x, f16_to_f32(codes.d), 0, range, codes.q.data());
  return codes;
}

Codes affine(const RowPart& part, int most) {
  if (part.importance == nullptr) return affine_by_rule(part.x, most);
  const auto top = static_cast<float>(most);
  const AffineFit fit = fit_scale_and_min<kBlock>(part.x, weigh<kBlock>(part).data(), top);
  Codes codes{stored_scale(fit.scale), stored_scale(-fit.min), {}};
  choose_codes<kBlock>(part.x, f16_to_f32(codes.d), -f16_to_f32(codes.m), unsigned_codes(top),
                       codes.q.data());
  return codes;
}

}  // namespace

void encode(const RowPart& part, BlockQ4_0& block) {
  const Codes codes = symmetric(part, 8);
  block.d = codes.d;
  pack_nibbles(codes.q.data(), block.qs);
}

void encode(const RowPart& part, BlockQ4_1& block) {
  const Codes codes = affine(part, 15);
  block.d = codes.d;
  block.m = codes.m;
  pack_nibbles(codes.q.data(), block.qs);
}

void encode(const RowPart& part, BlockQ5_0& block) {
  const Codes codes = symmetric(part, 16);
  block.d = codes.d;
  pack_nibbles(codes.q.data(), block.qs);
  pack_fifth_bits(codes.q.data(), block.qh);
}

void encode(const RowPart& part, BlockQ5_1& block) {
  const Codes codes = affine(part, 31);
  block.d = codes.d;
  block.m = codes.m;
  pack_nibbles(codes.q.data(), block.qs);
  pack_fifth_bits(codes.q.data(), block.qh);
}

}  // namespace st
