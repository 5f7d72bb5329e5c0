#include "tensor/kv_tile.h"

namespace st {

std::string_view kv_type_name(KvType type) {
  return type == KvType::kF32 ? "f32" : type == KvType::kI16 ? "i16" : "i8";
}

std::optional<KvType> parse_kv_type(std::string_view name) {
  if (name == "f32") return KvType::kF32;
  if (name == "i16" || name == "f16") return KvType::kI16;
  if (name == "i8" || name == "q8_0") return KvType::kI8;
  return std::nullopt;
}

}  // namespace st
