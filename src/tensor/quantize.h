// Weights between float and the file formats, row by row; the same bytes on every machine.
//
// Decoding is exact. Encoding follows the documented ggml rules to the bit where they search
// nothing (floats, Q8_0, MXFP4; Q4_0, Q4_1, Q5_0, Q5_1 without importance): separate float
// roundings, no fused multiply-add, ties as each format says. Where the rules leave a block
// undefined, because 1 / scale is not finite, its values are written as zero. A scale beyond half
// precision is written as infinity, a NaN in a block as any value: whoever must refuse such rows
// looks at x first (DTypeInfo::largest). The other types, and those four with importance, look for
// the scales that lose least (tensor/fit.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/matrix.h"

namespace st {

// Whether quantize_row can write this type: all but I8.
bool can_quantize(DType type);

// Encodes n values of a row. importance: (n), how much the square of an error counts in each
// column, from 0 to about 1e6; null: everywhere alike. REQUIRES: n is a multiple of the block size.
// Throws Error(kUnsupported) unless can_quantize(type).
void quantize_row(DType type, const float* x, int64_t n, std::byte* out,
                  const float* importance = nullptr);

// Decodes n values of a row; every DType. REQUIRES: n is a multiple of the block size.
void dequantize_row(DType type, const std::byte* in, int64_t n, float* y);

// Decodes row r of a matrix in memory, or its columns [begin, begin + n), whole blocks; of 32
// values if it is split. y: (cols) or (n).
void dequantize_row(const Matrix& matrix, int64_t r, float* y);
void dequantize_row(const Matrix& matrix, int64_t r, int64_t begin, int64_t n, float* y);

}  // namespace st
