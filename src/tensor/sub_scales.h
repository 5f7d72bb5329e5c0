// The packed scales of super-blocks, one by one: integers that the super-block's d and dmin
// multiply. Always inline: a file of kernels for one instruction set must not share its copies.
#pragma once

#include <cstdint>

#include "tensor/blocks.h"

namespace st {

struct SubScale {
  int scale, min;
};

// Q2_K, sub-block k of 16: a byte has both.
[[gnu::always_inline]] inline SubScale sub_scale_q2_k(const uint8_t* s, int k) {
  return {s[k] & 15, s[k] >> 4};
}

// Q3_K, sub-block k of 16: nibbles lie in bytes 0-7, low ones first; top bits in bytes 8-11.
[[gnu::always_inline]] inline int sub_scale_q3_k(const uint8_t* s, int k) {
  const int low = k < 8 ? s[k] & 15 : s[k - 8] >> 4;
  return (low | (s[8 + k % 4] >> (2 * (k / 4)) & 3) << 4) - 32;
}

// Q4_K and Q5_K, sub-block k of 32, 6 bits each: the first four lie in bytes 0-3 and 4-7; the last
// four have their low bits in the nibbles of bytes 8-11 and their top bits above the first four.
[[gnu::always_inline]] inline SubScale sub_scale_q4_k(const uint8_t* s, int k) {
  if (k < 4) return {s[k] & 63, s[k + 4] & 63};
  return {(s[k + 4] & 15) | (s[k - 4] >> 6) << 4, (s[k + 4] >> 4) | (s[k] >> 6) << 4};
}

// IQ4_XS, sub-block k of 32: nibbles, and top bits together.
[[gnu::always_inline]] inline int sub_scale_iq4_xs(uint16_t top, const uint8_t* low, int k) {
  return ((low[k / 2] >> (4 * (k % 2)) & 15) | (top >> (2 * k) & 3) << 4) - 32;
}

}  // namespace st
