// Block structs as they lie in files: little-endian, packed, never to be reordered.
// d, m: IEEE half-precision scale and minimum of the block.
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

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22);
static_assert(sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_K) == 144);
static_assert(sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);

}  // namespace st
