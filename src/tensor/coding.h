// A row of each type between floats and the bytes of a file, as the table of types names them. An
// Element is what the file holds for kValues of a row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/blocks.h"

namespace st {

struct Half {
  uint16_t bits;
};
struct BFloat {
  uint16_t bits;
};

template <int kValues, typename Element>
void decode_row(const std::byte* in, int64_t n, float* y);

template <int kValues, typename Element>
void encode_row(const float* x, const float* importance, int64_t n, std::byte* out);

}  // namespace st
