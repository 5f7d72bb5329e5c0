#include "tensor/encode.h"

#include <cmath>
#include <cstring>

namespace st {
namespace {

int8_t to_int8(float v) { return std::isfinite(v) ? static_cast<int8_t>(std::round(v)) : 0; }

void encode(const RowPart& part, float& value) { value = *part.x; }
void encode(const RowPart& part, Half& value) { value.bits = f32_to_f16(*part.x); }
void encode(const RowPart& part, BFloat& value) { value.bits = f32_to_bf16(*part.x); }

}  // namespace

void encode(const RowPart& part, BlockQ8_0& block) {
  float peak = 0;
  for (int i = 0; i < kBlock; ++i) peak = std::fmax(peak, std::fabs(part.x[i]));
  const float d = peak / 127;
  const float scale = inverse(d);
  block.d = f32_to_f16(d);
  for (int i = 0; i < kBlock; ++i) block.qs[i] = to_int8(part.x[i] * scale);
}

float mean_square(const float* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  return static_cast<float>(sum / static_cast<double>(n));
}

template <int kValues, typename Element>
void encode_row(const float* x, const float* importance, int64_t n, std::byte* out) {
  for (int64_t i = 0; i < n; i += kValues, out += sizeof(Element)) {
    RowPart part{x + i, nullptr, 0};
    if (importance != nullptr) part = {x + i, importance + i, 2 * mean_square(x + i, kValues)};
    Element element;
    encode(part, element);
    std::memcpy(out, &element, sizeof element);  // `out` has no alignment
  }
}

using Floats = const float*;
template void encode_row<1, float>(Floats, Floats, int64_t, std::byte*);
template void encode_row<1, Half>(Floats, Floats, int64_t, std::byte*);
template void encode_row<1, BFloat>(Floats, Floats, int64_t, std::byte*);
template void encode_row<kBlock, BlockQ4_0>(Floats, Floats, int64_t, std::byte*);
template void encode_row<kBlock, BlockQ4_1>(Floats, Floats, int64_t, std::byte*);
template void encode_row<kBlock, BlockQ5_0>(Floats, Floats, int64_t, std::byte*);
template void encode_row<kBlock, BlockQ5_1>(Floats, Floats, int64_t, std::byte*);
template void encode_row<kBlock, BlockQ8_0>(Floats, Floats, int64_t, std::byte*);
template void encode_row<kBlock, BlockIQ4_NL>(Floats, Floats, int64_t, std::byte*);
template void encode_row<kBlock, BlockMXFP4>(Floats, Floats, int64_t, std::byte*);
template void encode_row<kSuperBlock, BlockQ2_K>(Floats, Floats, int64_t, std::byte*);
template void encode_row<kSuperBlock, BlockQ3_K>(Floats, Floats, int64_t, std::byte*);
template void encode_row<kSuperBlock, BlockQ4_K>(Floats, Floats, int64_t, std::byte*);
template void encode_row<kSuperBlock, BlockQ5_K>(Floats, Floats, int64_t, std::byte*);
template void encode_row<kSuperBlock, BlockQ6_K>(Floats, Floats, int64_t, std::byte*);
template void encode_row<kSuperBlock, BlockIQ4_XS>(Floats, Floats, int64_t, std::byte*);

}  // namespace st
