#include <cmath>
#include <cstring>

#include "tensor/coding.h"
#include "tensor/float16.h"

namespace st {
namespace {

// 1 / d, or 0 where that is not finite: every value of such a block becomes zero.
float inverse(float d) {
  const float inverse = 1.0f / d;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

// v without its fraction, within 0 .. 15; NaN gives 0.
uint8_t to_nibble(float v) {
  if (!(v > 0)) return 0;
  return v < 15 ? static_cast<uint8_t>(v) : 15;
}

int8_t to_int8(float v) { return std::isfinite(v) ? static_cast<int8_t>(std::round(v)) : 0; }

// The first value of largest magnitude becomes -8; values of the other sign have seven steps.
void encode(const float* x, BlockQ4_0& block) {
  float peak = 0;
  for (int i = 0; i < kBlock; ++i) {
    if (std::fabs(x[i]) > std::fabs(peak)) peak = x[i];
  }
  const float d = peak / -8;
  const float scale = inverse(d);
  block.d = f32_to_f16(d);
  for (int i = 0; i < kBlock / 2; ++i) {
    const uint8_t low = to_nibble(x[i] * scale + 8.5f);
    const uint8_t high = to_nibble(x[i + kBlock / 2] * scale + 8.5f);
    block.qs[i] = static_cast<uint8_t>(low | high << 4);
  }
}

void encode(const float* x, BlockQ8_0& block) {
  float peak = 0;
  for (int i = 0; i < kBlock; ++i) peak = std::fmax(peak, std::fabs(x[i]));
  const float d = peak / 127;
  const float scale = inverse(d);
  block.d = f32_to_f16(d);
  for (int i = 0; i < kBlock; ++i) block.qs[i] = to_int8(x[i] * scale);
}

void encode(const float* x, float& value) { value = *x; }
void encode(const float* x, Half& value) { value.bits = f32_to_f16(*x); }
void encode(const float* x, BFloat& value) { value.bits = f32_to_bf16(*x); }

}  // namespace

template <int kValues, typename Element>
void encode_row(const float* x, int64_t n, std::byte* out) {
  for (int64_t i = 0; i < n; i += kValues, out += sizeof(Element)) {
    Element element;
    encode(x + i, element);
    std::memcpy(out, &element, sizeof element);  // `out` has no alignment
  }
}

template void encode_row<1, float>(const float*, int64_t, std::byte*);
template void encode_row<1, Half>(const float*, int64_t, std::byte*);
template void encode_row<1, BFloat>(const float*, int64_t, std::byte*);
template void encode_row<kBlock, BlockQ4_0>(const float*, int64_t, std::byte*);
template void encode_row<kBlock, BlockQ8_0>(const float*, int64_t, std::byte*);

}  // namespace st
