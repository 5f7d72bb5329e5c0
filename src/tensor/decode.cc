#include <cstring>

#include "tensor/coding.h"
#include "tensor/float16.h"
#include "tensor/sub_scales.h"

namespace st {
namespace {

// Products of a half-precision scale or a power of two with the small integers below are exact in
// float, so each value is rounded at most once, when a minimum is added.

int low_nibble(uint8_t byte) { return byte & 15; }
int high_nibble(uint8_t byte) { return byte >> 4; }
float times(float d, int q) { return d * static_cast<float>(q); }

void decode(const float& value, float* y) { *y = value; }
void decode(const int8_t& value, float* y) { *y = value; }

void decode(const Half& value, float* y) { *y = f16_to_f32(value.bits); }

void decode(const BFloat& value, float* y) { *y = bf16_to_f32(value.bits); }

void decode(const BlockQ4_0& block, float* y) {
  const float d = f16_to_f32(block.d);
  for (int i = 0; i < kBlock / 2; ++i) {
    y[i] = times(d, low_nibble(block.qs[i]) - 8);
    y[i + kBlock / 2] = times(d, high_nibble(block.qs[i]) - 8);
  }
}

void decode(const BlockQ4_1& block, float* y) {
  const float d = f16_to_f32(block.d), m = f16_to_f32(block.m);
  for (int i = 0; i < kBlock / 2; ++i) {
    y[i] = times(d, low_nibble(block.qs[i])) + m;
    y[i + kBlock / 2] = times(d, high_nibble(block.qs[i])) + m;
  }
}

// 16 if bit i of a block's fifth bits is set.
int fifth_bit(const uint8_t* qh, int i) { return (qh[i / 8] >> (i % 8) & 1) << 4; }

void decode(const BlockQ5_0& block, float* y) {
  const float d = f16_to_f32(block.d);
  for (int i = 0; i < kBlock / 2; ++i) {
    const int j = i + kBlock / 2;
    y[i] = times(d, (low_nibble(block.qs[i]) | fifth_bit(block.qh, i)) - 16);
    y[j] = times(d, (high_nibble(block.qs[i]) | fifth_bit(block.qh, j)) - 16);
  }
}

void decode(const BlockQ5_1& block, float* y) {
  const float d = f16_to_f32(block.d), m = f16_to_f32(block.m);
  for (int i = 0; i < kBlock / 2; ++i) {
    const int j = i + kBlock / 2;
    y[i] = times(d, low_nibble(block.qs[i]) | fifth_bit(block.qh, i)) + m;
    y[j] = times(d, high_nibble(block.qs[i]) | fifth_bit(block.qh, j)) + m;
  }
}

void decode(const BlockQ8_0& block, float* y) {
  const float d = f16_to_f32(block.d);
  for (int i = 0; i < kBlock; ++i) y[i] = times(d, block.qs[i]);
}

// Values by nibble, as they are coded in blocks of 32.
void decode_by_table(float d, const uint8_t* qs, const int8_t* table, float* y) {
  for (int i = 0; i < kBlock / 2; ++i) {
    y[i] = times(d, table[low_nibble(qs[i])]);
    y[i + kBlock / 2] = times(d, table[high_nibble(qs[i])]);
  }
}

void decode(const BlockIQ4_NL& block, float* y) {
  decode_by_table(f16_to_f32(block.d), block.qs, kIQ4Values, y);
}

void decode(const BlockMXFP4& block, float* y) {
  decode_by_table(half_e8m0_to_f32(block.e), block.qs, kE2M1Values, y);
}

// Two bits of value i of a super-block, where a byte has those of four groups of 32 values, in each
// half of 128.
int two_bits(const uint8_t* bits, int i) {
  const int half = i / 128, group = i / 32 % 4, l = i % 32;
  return bits[32 * half + l] >> (2 * group) & 3;
}

void decode(const BlockQ2_K& block, float* y) {
  const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
  for (int i = 0; i < kSuperBlock; ++i) {
    const SubScale sub = sub_scale_q2_k(block.scales, i / 16);
    const float scale = times(d, sub.scale), min = times(dmin, sub.min);
    y[i] = times(scale, two_bits(block.qs, i)) - min;
  }
}

void decode(const BlockQ3_K& block, float* y) {
  const float d = f16_to_f32(block.d);
  for (int i = 0; i < kSuperBlock; ++i) {
    const int top = block.hmask[i % 32] >> (i / 32) & 1;
    const float scale = times(d, sub_scale_q3_k(block.scales, i / 16));
    y[i] = times(scale, (two_bits(block.qs, i) | top << 2) - 4);
  }
}

void decode(const BlockQ4_K& block, float* y) {
  const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
  for (int k = 0; k < 8; ++k) {
    const SubScale sub = sub_scale_q4_k(block.scales, k);
    const float scale = times(d, sub.scale), min = times(dmin, sub.min);
    const uint8_t* qs = block.qs + 32 * (k / 2);
    for (int i = 0; i < 32; ++i) {
      const int q = k % 2 ? high_nibble(qs[i]) : low_nibble(qs[i]);
      y[32 * k + i] = times(scale, q) - min;
    }
  }
}

void decode(const BlockQ5_K& block, float* y) {
  const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
  for (int k = 0; k < 8; ++k) {
    const SubScale sub = sub_scale_q4_k(block.scales, k);
    const float scale = times(d, sub.scale), min = times(dmin, sub.min);
    const uint8_t* qs = block.qs + 32 * (k / 2);
    for (int i = 0; i < 32; ++i) {
      const int low = k % 2 ? high_nibble(qs[i]) : low_nibble(qs[i]);
      const int q = low | (block.qh[i] >> k & 1) << 4;
      y[32 * k + i] = times(scale, q) - min;
    }
  }
}

// Halves of 128 values, each in four groups of 32: two groups share the bytes of ql.
void decode(const BlockQ6_K& block, float* y) {
  const float d = f16_to_f32(block.d);
  for (int i = 0; i < kSuperBlock; ++i) {
    const int half = i / 128, group = i / 32 % 4, l = i % 32;
    const uint8_t pair = block.ql[64 * half + 32 * (group % 2) + l];
    const int low = group < 2 ? low_nibble(pair) : high_nibble(pair);
    const int top = two_bits(block.qh, i);
    y[i] = times(times(d, block.scales[i / 16]), (low | top << 4) - 32);
  }
}

void decode(const BlockIQ4_XS& block, float* y) {
  const float d = f16_to_f32(block.d);
  for (int k = 0; k < 8; ++k) {
    const int scale = sub_scale_iq4_xs(block.scales_h, block.scales_l, k);
    decode_by_table(times(d, scale), block.qs + 16 * k, kIQ4Values, y + 32 * k);
  }
}

}  // namespace

template <int kValues, typename Element>
void decode_row(const std::byte* in, int64_t n, float* y) {
  for (int64_t i = 0; i < n; i += kValues, in += sizeof(Element)) {
    Element element;
    std::memcpy(&element, in, sizeof element);  // `in` has no alignment
    decode(element, y + i);
  }
}

template void decode_row<1, float>(const std::byte*, int64_t, float*);
template void decode_row<1, Half>(const std::byte*, int64_t, float*);
template void decode_row<1, BFloat>(const std::byte*, int64_t, float*);
template void decode_row<1, int8_t>(const std::byte*, int64_t, float*);
template void decode_row<kBlock, BlockQ4_0>(const std::byte*, int64_t, float*);
template void decode_row<kBlock, BlockQ4_1>(const std::byte*, int64_t, float*);
template void decode_row<kBlock, BlockQ5_0>(const std::byte*, int64_t, float*);
template void decode_row<kBlock, BlockQ5_1>(const std::byte*, int64_t, float*);
template void decode_row<kBlock, BlockQ8_0>(const std::byte*, int64_t, float*);
template void decode_row<kBlock, BlockIQ4_NL>(const std::byte*, int64_t, float*);
template void decode_row<kBlock, BlockMXFP4>(const std::byte*, int64_t, float*);
template void decode_row<kSuperBlock, BlockQ2_K>(const std::byte*, int64_t, float*);
template void decode_row<kSuperBlock, BlockQ3_K>(const std::byte*, int64_t, float*);
template void decode_row<kSuperBlock, BlockQ4_K>(const std::byte*, int64_t, float*);
template void decode_row<kSuperBlock, BlockQ5_K>(const std::byte*, int64_t, float*);
template void decode_row<kSuperBlock, BlockQ6_K>(const std::byte*, int64_t, float*);
template void decode_row<kSuperBlock, BlockIQ4_XS>(const std::byte*, int64_t, float*);

}  // namespace st
