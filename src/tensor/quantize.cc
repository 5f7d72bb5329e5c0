#include "tensor/quantize.h"

#include "base/error.h"
#include "tensor/layout.h"

namespace st {

bool can_quantize(DType type) { return dtype_info(type).encode != nullptr; }

void quantize_row(DType type, const float* x, int64_t n, std::byte* out, const float* importance) {
  const DTypeInfo& info = dtype_info(type);
  if (info.encode == nullptr) fail(ErrorCode::kUnsupported, "cannot write {} weights", info.name);
  info.encode(x, importance, n, out);
}

void dequantize_row(DType type, const std::byte* in, int64_t n, float* y) {
  dtype_info(type).decode(in, n, y);
}

void dequantize_row(const Matrix& m, int64_t r, int64_t begin, int64_t n, float* y) {
  const DTypeInfo& info = dtype_info(m.type);
  if (info.split == nullptr) {
    const std::byte* at = m.row(r) + row_bytes(info, static_cast<uint64_t>(begin));
    return info.decode(at, n, y);
  }
  for (int64_t c = 0; c < n; c += kBlock) {
    const DecodedBlock block = read_block(m, r, (begin + c) / kBlock);
    for (int i = 0; i < kBlock; ++i) {
      const int half = i / (kBlock / 2);
      y[c + i] = block.scale[half] * static_cast<float>(block.code[i]) + block.base[half];
    }
  }
}

void dequantize_row(const Matrix& m, int64_t r, float* y) { dequantize_row(m, r, 0, m.cols, y); }

}  // namespace st
