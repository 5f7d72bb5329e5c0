// Views of weights in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/blocks.h"
#include "tensor/dtype.h"

namespace st {

// Rows with quants and scales apart, see tensor/layout.h: as many bytes of each in every row.
struct QuantRows {
  const uint8_t* q;
  const uint8_t* scales;
};

// Types that are split into quants and scales when they are loaded.
inline bool is_split(DType type) { return dtype_info(type).split != nullptr; }

// A row-major matrix of `rows` rows of `cols` values. Does not own its bytes. y = W x with
// W (rows, cols) maps a vector of `cols` to one of `rows`.
//
// Rows are back to back as in a file, except that some types are split (SplitLayout): first the
// quants of all rows, then the scales of all rows, together as many bytes as in the file. So
// kernels read whole aligned vectors of each.
struct Matrix {
  DType type = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  const std::byte* data = nullptr;

  explicit operator bool() const { return data != nullptr; }
  uint64_t stride() const { return row_bytes(type, static_cast<uint64_t>(cols)); }
  uint64_t bytes() const { return static_cast<uint64_t>(rows) * stride(); }
  // REQUIRES: !is_split(type).
  const std::byte* row(int64_t r) const { return data + static_cast<uint64_t>(r) * stride(); }
  // Rows from r on. REQUIRES: is_split(type).
  QuantRows quant_rows(int64_t r = 0) const;
};

}  // namespace st
