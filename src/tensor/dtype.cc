#include "tensor/dtype.h"

#include <algorithm>
#include <cctype>

#include "tensor/coding.h"
#include "tensor/layout.h"

namespace st {
namespace {

constexpr float kHalf = 65504;  // the largest of half precision

// A type of kValues values an Element, which we read, ...
template <int kValues, typename Element>
constexpr DTypeInfo readable(DType type, std::string_view name,
                             const SplitLayout* split = nullptr) {
  DTypeInfo info = {type, name, kValues, sizeof(Element), decode_row<kValues, Element>};
  info.split = split;
  return info;
}
// ... and write.
template <int kValues, typename Element>
constexpr DTypeInfo writable(DType type, std::string_view name, float largest,
                             const SplitLayout* split = nullptr) {
  DTypeInfo info = readable<kValues, Element>(type, name, split);
  info.encode = encode_row<kValues, Element>;
  info.largest = largest;
  return info;
}

constexpr DTypeInfo kTypes[] = {
    writable<1, float>(DType::kF32, "F32", FLT_MAX),
    writable<1, Half>(DType::kF16, "F16", kHalf),
    writable<kBlock, BlockQ4_0>(DType::kQ4_0, "Q4_0", kHalf * 8, &kSplitQ4_0),
    writable<kBlock, BlockQ4_1>(DType::kQ4_1, "Q4_1", kHalf, &kSplitQ4_1),
    writable<kBlock, BlockQ5_0>(DType::kQ5_0, "Q5_0", kHalf * 16, &kSplitQ5_0),
    writable<kBlock, BlockQ5_1>(DType::kQ5_1, "Q5_1", kHalf, &kSplitQ5_1),
    writable<kBlock, BlockQ8_0>(DType::kQ8_0, "Q8_0", kHalf * 127, &kSplitQ8_0),
    writable<kSuperBlock, BlockQ2_K>(DType::kQ2_K, "Q2_K", kHalf * 15, &kSplitQ2_K),
    writable<kSuperBlock, BlockQ3_K>(DType::kQ3_K, "Q3_K", kHalf * 31 * 3, &kSplitQ3_K),
    writable<kSuperBlock, BlockQ4_K>(DType::kQ4_K, "Q4_K", kHalf * 63, &kSplitQ4_K),
    writable<kSuperBlock, BlockQ5_K>(DType::kQ5_K, "Q5_K", kHalf * 63, &kSplitQ5_K),
    writable<kSuperBlock, BlockQ6_K>(DType::kQ6_K, "Q6_K", kHalf * 127 * 31, &kSplitQ6_K),
    writable<kBlock, BlockIQ4_NL>(DType::kIQ4_NL, "IQ4_NL", kHalf * 113, &kSplitIQ4_NL),
    writable<kSuperBlock, BlockIQ4_XS>(DType::kIQ4_XS, "IQ4_XS", kHalf * 31 * 113, &kSplitIQ4_XS),
    readable<1, int8_t>(DType::kI8, "I8"),
    writable<1, BFloat>(DType::kBF16, "BF16", 0x1.fep127f),
    writable<kBlock, BlockMXFP4>(DType::kMXFP4, "MXFP4", 0x1.8p127f, &kSplitMXFP4),
};

constexpr DTypeInfo foreign(uint32_t id, std::string_view name, uint32_t values, uint32_t bytes) {
  return {static_cast<DType>(id), name, values, bytes};
}

constexpr DTypeInfo kForeign[] = {
    foreign(4, "Q4_2", 16, 10),        foreign(5, "Q4_3", 16, 12),
    foreign(9, "Q8_1", 32, 36),        foreign(15, "Q8_K", 256, 292),
    foreign(16, "IQ2_XXS", 256, 66),   foreign(17, "IQ2_XS", 256, 74),
    foreign(18, "IQ3_XXS", 256, 98),   foreign(19, "IQ1_S", 256, 50),
    foreign(21, "IQ3_S", 256, 110),    foreign(22, "IQ2_S", 256, 82),
    foreign(25, "I16", 1, 2),          foreign(26, "I32", 1, 4),
    foreign(27, "I64", 1, 8),          foreign(28, "F64", 1, 8),
    foreign(29, "IQ1_M", 256, 56),     foreign(31, "Q4_0_4_4", 32, 18),
    foreign(32, "Q4_0_4_8", 32, 18),   foreign(33, "Q4_0_8_8", 32, 18),
    foreign(34, "TQ1_0", 256, 54),     foreign(35, "TQ2_0", 256, 66),
    foreign(36, "IQ4_NL_4_4", 1, 0),  // a fork has another type under this number
    foreign(37, "IQ4_NL_4_8", 32, 18), foreign(38, "IQ4_NL_8_8", 32, 18),
    foreign(40, "NVFP4", 64, 36),      foreign(41, "Q1_0", 128, 18),
    foreign(42, "Q2_0", 1, 0),
};

const DTypeInfo* find_in(std::span<const DTypeInfo> types, uint32_t id) {
  for (const DTypeInfo& info : types) {
    if (static_cast<uint32_t>(info.type) == id) return &info;
  }
  return nullptr;
}

}  // namespace

std::span<const DTypeInfo> known_dtypes() { return kTypes; }

const DTypeInfo* find_dtype(uint32_t id) { return find_in(all_dtypes(), id); }
const DTypeInfo* find_foreign_dtype(uint32_t id) { return find_in(kForeign, id); }

std::string name_of_dtype(uint32_t id) {
  const DTypeInfo* info = find_dtype(id);
  if (info == nullptr) info = find_foreign_dtype(id);
  return info == nullptr ? "type " + std::to_string(id) : std::string(info->name);
}

const DTypeInfo& dtype_info(DType type) { return *find_dtype(static_cast<uint32_t>(type)); }

std::string_view dtype_name(DType type) { return dtype_info(type).name; }

std::optional<DType> parse_dtype(std::string_view name) {
  for (const DTypeInfo& info : all_dtypes()) {
    if (std::ranges::equal(name, info.name, [](char a, char b) {
          return std::toupper(static_cast<unsigned char>(a)) == b;
        })) {
      return info.type;
    }
  }
  return std::nullopt;
}

}  // namespace st
