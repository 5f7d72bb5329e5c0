#include "tensor/layout.h"

#include <cstring>
#include <vector>

namespace st {
namespace {

const SplitLayout& layout_of(DType type) { return *dtype_info(type).split; }

int64_t row_bytes_of(DType type, int64_t cols) {
  return static_cast<int64_t>(row_bytes(type, static_cast<uint64_t>(cols)));
}

}  // namespace

QuantRows Matrix::quant_rows(int64_t r) const {
  const int64_t quants = layout_of(type).quant_bytes(cols);
  const int64_t scales = row_bytes_of(type, cols) - quants;
  const auto* bytes = reinterpret_cast<const uint8_t*>(data);
  return {bytes + r * quants, bytes + rows * quants + r * scales};
}

void split_rows(DType type, const std::byte* blocks, int64_t first, int64_t count, int64_t rows,
                int64_t cols, std::byte* out) {
  const SplitLayout& layout = layout_of(type);
  const int64_t row = row_bytes_of(type, cols), quants = layout.quant_bytes(cols);
  auto* q = reinterpret_cast<uint8_t*>(out) + first * quants;
  auto* scales = reinterpret_cast<uint8_t*>(out) + rows * quants + first * (row - quants);
  for (int64_t r = 0; r < count; ++r) {
    layout.split_row(blocks + r * row, cols, q + r * quants, scales + r * (row - quants));
  }
}

// Quants are never written beyond the row they come from, so they can go forward in place; scales
// wait until all rows have been read.
void split_in_place(DType type, const std::byte* blocks, int64_t rows, int64_t cols,
                    std::byte* out) {
  const SplitLayout& layout = layout_of(type);
  const int64_t row = row_bytes_of(type, cols), quants = layout.quant_bytes(cols);
  thread_local std::vector<uint8_t> scales;
  scales.resize(static_cast<size_t>(rows * (row - quants)));
  auto* q = reinterpret_cast<uint8_t*>(out);
  for (int64_t r = 0; r < rows; ++r) {
    layout.split_row(blocks + r * row, cols, q + r * quants, scales.data() + r * (row - quants));
  }
  std::memcpy(q + rows * quants, scales.data(), scales.size());
}

bool scales_are_finite(const Matrix& matrix, int64_t first, int64_t count) {
  const auto finite = layout_of(matrix.type).finite;
  bool all = true;
  for (int64_t r = first; r < first + count; ++r) {
    all &= finite(matrix.quant_rows(r).scales, matrix.cols);
  }
  return all;
}

DecodedBlock read_block(const Matrix& matrix, int64_t r, int64_t b) {
  const QuantRows row = matrix.quant_rows(r);
  DecodedBlock block;
  layout_of(matrix.type).read({row.q, row.scales, b, matrix.cols / kBlock}, block);
  return block;
}

}  // namespace st
