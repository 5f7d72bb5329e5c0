// A weight type that src/ does not know, 16 bits of fixed point: its row in the table of types is
// enough to run it, and a WeightFormat is its kernel.
#include "toys/toy_weight_type.h"

#include <vector>

#include "kernels/isa/tables.h"

namespace st {

int64_t toy_rows_multiplied = 0;

namespace {

void decode(const std::byte* in, int64_t n, float* y) {
  const auto* q = reinterpret_cast<const int16_t*>(in);
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(q[i]) * 0x1p-16f;
}
void encode(const float* x, const float* /*importance*/, int64_t n, std::byte* out) {
  auto* q = reinterpret_cast<int16_t*>(out);
  for (int64_t i = 0; i < n; ++i) q[i] = static_cast<int16_t>(x[i] * 0x1p16f);
}
void gemm(const std::byte* w, int64_t rows, const float* x, int64_t tokens, int64_t cols, float* y,
          int64_t y_stride) {
  std::vector<float> floats(static_cast<size_t>(rows * cols));
  decode(w, rows * cols, floats.data());
  const auto f32 = kScalar.format(DType::kF32).gemm_float;
  f32(std::as_bytes(std::span(floats)).data(), rows, x, tokens, cols, y, y_stride);
  toy_rows_multiplied += rows;
}

constexpr DTypeInfo kInfo = {kFixed16, "FIXED16", 1, 2, decode, encode};
const WeightFormat kFormats[] = {{.type = kInfo.type, .gemm_float = gemm},
                                 kScalar.format(DType::kF32)};
const KernelTable kWithKernel = [] {
  KernelTable table = kScalar;
  table.name = "with_kernel";
  table.formats = kFormats;
  return table;
}();

}  // namespace

// In place of tensor/all_dtypes.cc and kernels/isa/tables.cc.
std::span<const DTypeInfo> all_dtypes() {
  static const std::vector<DTypeInfo> all = [] {
    std::vector<DTypeInfo> types(known_dtypes().begin(), known_dtypes().end());
    types.push_back(kInfo);
    return types;
  }();
  return all;
}
std::span<const KernelTable* const> all_kernels() {
  static constexpr const KernelTable* kAll[] = {&kScalar, &kWithKernel};
  return kAll;
}

}  // namespace st
