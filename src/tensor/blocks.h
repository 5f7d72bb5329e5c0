// Block structs as they lie in files: little-endian, packed, never to be reordered.
// d, m: IEEE half-precision scale and minimum of the block. Values are numbered in the order of the
// row; l counts within a group of 16 or 32.
#pragma once

#include <cstdint>

namespace st {

inline constexpr int kBlock = 32;        // values in a Q4_0 .. Q8_0 block
inline constexpr int kSuperBlock = 256;  // values in a K-quant block

struct BlockQ4_0 {  // value j = d * (low nibble j - 8), value j + 16 = d * (high nibble j - 8)
  uint16_t d;
  uint8_t qs[16];
};
struct BlockQ4_1 {  // as Q4_0 with value = d * nibble + m
  uint16_t d, m;
  uint8_t qs[16];
};
struct BlockQ5_0 {  // fifth bit of value j = bit j of qh; value = d * (q - 16)
  uint16_t d;
  uint8_t qh[4];
  uint8_t qs[16];
};
struct BlockQ5_1 {  // value = d * q + m
  uint16_t d, m;
  uint8_t qh[4];
  uint8_t qs[16];
};
struct BlockQ8_0 {  // value = d * qs
  uint16_t d;
  int8_t qs[32];
};
struct BlockIQ4_NL {  // value j = d * kIQ4Values[low nibble j], value j + 16 by high nibble j
  uint16_t d;
  uint8_t qs[16];
};
struct BlockMXFP4 {  // the same with 2^(e - 128) * kE2M1Values[nibble]; e = 255 is refused
  uint8_t e;
  uint8_t qs[16];
};
struct BlockQ2_K {     // sixteen sub-blocks of 16: value = d * scale * q - dmin * min
  uint8_t scales[16];  // low nibbles scales, high ones mins
  uint8_t qs[64];
  uint16_t d, dmin;
};
struct BlockQ3_K {    // sixteen sub-blocks of 16: value = d * (scale - 32) * (q - 4)
  uint8_t hmask[32];  // third bits
  uint8_t qs[64];
  uint8_t scales[12];  // 6-bit, packed
  uint16_t d;
};
struct BlockQ4_K {  // eight sub-blocks of 32: value = d * scale * q - dmin * min
  uint16_t d, dmin;
  uint8_t scales[12];  // 6-bit scales and mins, packed
  uint8_t qs[128];
};
struct BlockQ5_K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};
struct BlockQ6_K {  // sixteen sub-blocks of 16: value = d * scale * (q - 32)
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;
};
struct BlockIQ4_XS {  // eight sub-blocks of 32: value = d * (scale - 32) * kIQ4Values[nibble]
  uint16_t d;
  uint16_t scales_h;    // top two bits of each scale
  uint8_t scales_l[4];  // and a nibble of each
  uint8_t qs[128];      // each sub-block's as in IQ4_NL
};

inline constexpr int8_t kIQ4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};
// Twice what a float of four bits is: sign, two bits of exponent, one of mantissa.
inline constexpr int8_t kE2M1Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22);
static_assert(sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_K) == 144);
static_assert(sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);
static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110 && sizeof(BlockIQ4_XS) == 136);
static_assert(sizeof(BlockIQ4_NL) == 18 && sizeof(BlockMXFP4) == 17);

}  // namespace st
