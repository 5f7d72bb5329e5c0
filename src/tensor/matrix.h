// Views of weights in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace st {

// A row-major matrix of `rows` rows of `cols` values, rows back to back. Does not own its bytes.
// y = W x with W (rows, cols) maps a vector of `cols` to one of `rows`.
struct Matrix {
  DType type = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  const std::byte* data = nullptr;

  explicit operator bool() const { return data != nullptr; }
  uint64_t stride() const { return row_bytes(type, static_cast<uint64_t>(cols)); }
  const std::byte* row(int64_t r) const { return data + static_cast<uint64_t>(r) * stride(); }
};

}  // namespace st
