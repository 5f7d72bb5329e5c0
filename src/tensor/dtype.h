// Tensor element types. The numbers are part of the GGUF file format: never change them.
#pragma once

#include <cfloat>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace st {

enum class DType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kIQ4_XS = 23,
  kI8 = 24,  // as they are; also how a file holds bytes that are no numbers at all
  kBF16 = 30,
  kMXFP4 = 39,
};

struct SplitLayout;  // tensor/layout.h

// All that there is to know of a type but its kernels (see WeightFormat). Values come in blocks of
// `block_values` consecutive elements of a row, `block_bytes` each.
struct DTypeInfo {
  DType type;
  std::string_view name;  // "Q4_0"
  uint32_t block_values;
  uint32_t block_bytes;

  // n values of a row from the bytes of a file, and to them; null: we do not write this type.
  // importance: see quantize_row. REQUIRES: n is a multiple of block_values.
  void (*decode)(const std::byte* in, int64_t n, float* y) = nullptr;
  void (*encode)(const float* x, const float* importance, int64_t n, std::byte* out) = nullptr;
  float largest = FLT_MAX;             // what is beyond cannot be encoded
  const SplitLayout* split = nullptr;  // how matrices lie in memory; null: as in a file
};

// The types of the table in dtype.cc; and all that this program reads, which are the same unless it
// is linked with another all_dtypes.cc.
std::span<const DTypeInfo> known_dtypes();
std::span<const DTypeInfo> all_dtypes();

// The types we read; nullptr for any other id.
const DTypeInfo* find_dtype(uint32_t id);
// Those that llama.cpp has or had besides, for listings and messages; block_bytes is 0 where we do
// not know.
const DTypeInfo* find_foreign_dtype(uint32_t id);
// "Q4_0", "IQ4_XS", "type 99".
std::string name_of_dtype(uint32_t id);
const DTypeInfo& dtype_info(DType type);
std::string_view dtype_name(DType type);
// By name, upper or lower case; for command-line arguments.
std::optional<DType> parse_dtype(std::string_view name);

// Bytes of one row. REQUIRES: cols is a multiple of the block size.
constexpr uint64_t row_bytes(const DTypeInfo& info, uint64_t cols) {
  return cols / info.block_values * info.block_bytes;
}
inline uint64_t row_bytes(DType type, uint64_t cols) { return row_bytes(dtype_info(type), cols); }

}  // namespace st
