#include "quant/quantize.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "tensor/blocks.h"
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
BlockQ4_0 encode_q4_0(const float* x) {
  float peak = 0;
  for (int i = 0; i < kBlock; ++i) {
    if (std::fabs(x[i]) > std::fabs(peak)) peak = x[i];
  }
  const float d = peak / -8;
  const float scale = inverse(d);
  BlockQ4_0 block;
  block.d = f32_to_f16(d);
  for (int i = 0; i < kBlock / 2; ++i) {
    const uint8_t low = to_nibble(x[i] * scale + 8.5f);
    const uint8_t high = to_nibble(x[i + kBlock / 2] * scale + 8.5f);
    block.qs[i] = static_cast<uint8_t>(low | high << 4);
  }
  return block;
}

BlockQ8_0 encode_q8_0(const float* x) {
  float peak = 0;
  for (int i = 0; i < kBlock; ++i) peak = std::fmax(peak, std::fabs(x[i]));
  const float d = peak / 127;
  const float scale = inverse(d);
  BlockQ8_0 block;
  block.d = f32_to_f16(d);
  for (int i = 0; i < kBlock; ++i) block.qs[i] = to_int8(x[i] * scale);
  return block;
}

float encode_f32(const float* x) { return *x; }
uint16_t encode_f16(const float* x) { return f32_to_f16(*x); }
uint16_t encode_bf16(const float* x) { return f32_to_bf16(*x); }

// encode() makes one Element of kValues values.
template <int kValues, typename Element>
void encode_row(Element (*encode)(const float*), const float* x, int64_t n, std::byte* out) {
  for (int64_t i = 0; i < n; i += kValues, out += sizeof(Element)) {
    const Element element = encode(x + i);
    std::memcpy(out, &element, sizeof element);  // `out` has no alignment
  }
}

}  // namespace

bool can_quantize(DType type) {
  switch (type) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kQ8_0:
    case DType::kQ4_0:
      return true;
    default:
      return false;
  }
}

void quantize_row(DType type, const float* x, int64_t n, std::byte* out) {
  switch (type) {
    case DType::kF32:
      return encode_row<1>(encode_f32, x, n, out);
    case DType::kF16:
      return encode_row<1>(encode_f16, x, n, out);
    case DType::kBF16:
      return encode_row<1>(encode_bf16, x, n, out);
    case DType::kQ8_0:
      return encode_row<kBlock>(encode_q8_0, x, n, out);
    case DType::kQ4_0:
      return encode_row<kBlock>(encode_q4_0, x, n, out);
    default:
      fail(ErrorCode::kUnsupported, "cannot write {} weights", dtype_name(type));
  }
}

}  // namespace st
