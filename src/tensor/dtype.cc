#include "tensor/dtype.h"

#include <algorithm>
#include <cctype>

namespace st {
namespace {

constexpr DTypeInfo kTypes[] = {
    {DType::kF32, "F32", 1, 4},       {DType::kF16, "F16", 1, 2},
    {DType::kQ4_0, "Q4_0", 32, 18},   {DType::kQ4_1, "Q4_1", 32, 20},
    {DType::kQ5_0, "Q5_0", 32, 22},   {DType::kQ5_1, "Q5_1", 32, 24},
    {DType::kQ8_0, "Q8_0", 32, 34},   {DType::kQ4_K, "Q4_K", 256, 144},
    {DType::kQ5_K, "Q5_K", 256, 176}, {DType::kQ6_K, "Q6_K", 256, 210},
    {DType::kI8, "I8", 1, 1},         {DType::kBF16, "BF16", 1, 2},
};

}  // namespace

const DTypeInfo* find_dtype(uint32_t id) {
  for (const DTypeInfo& info : kTypes) {
    if (static_cast<uint32_t>(info.type) == id) return &info;
  }
  return nullptr;
}

const DTypeInfo& dtype_info(DType type) { return *find_dtype(static_cast<uint32_t>(type)); }

std::string_view dtype_name(DType type) { return dtype_info(type).name; }

std::optional<DType> parse_dtype(std::string_view name) {
  for (const DTypeInfo& info : kTypes) {
    if (std::ranges::equal(name, info.name, [](char a, char b) {
          return std::toupper(static_cast<unsigned char>(a)) == b;
        })) {
      return info.type;
    }
  }
  return std::nullopt;
}

}  // namespace st
