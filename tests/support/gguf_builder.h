// GGUF bytes made by hand for tests: every field can be wrong.
#pragma once

#include <string>
#include <vector>

#include "format/gguf.h"
#include "support/bytes.h"

namespace st::testkit {

// Header fields that default to the truth.
struct GgufBuilder {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> n_tensors, n_kv;
  std::vector<std::string> entries;  // encoded, see kv_*
  std::vector<std::string> infos;    // encoded, see tensor_info
  std::string data;
  uint64_t alignment = 32;

  std::string build() const {
    std::string file = magic + le(version) + le(n_tensors.value_or(infos.size())) +
                       le(n_kv.value_or(entries.size()));
    for (const std::string& entry : entries) file += entry;
    for (const std::string& info : infos) file += info;
    file.resize((file.size() + alignment - 1) / alignment * alignment, '\0');
    return file + data;
  }
};

inline std::string text(std::string_view value) {
  return le(uint64_t{value.size()}) + std::string(value);
}
inline std::string kv(std::string_view key, GgufType type, const std::string& value) {
  return text(key) + le(static_cast<uint32_t>(type)) + value;
}
inline std::string kv_u32(std::string_view key, uint32_t value) {
  return kv(key, GgufType::kU32, le(value));
}
inline std::string kv_string(std::string_view key, std::string_view value) {
  return kv(key, GgufType::kString, text(value));
}
inline std::string kv_array(std::string_view key, uint32_t element, uint64_t count,
                            const std::string& items) {
  return kv(key, GgufType::kArray, le(element) + le(count) + items);
}
inline std::string tensor_info(std::string_view name, const std::vector<uint64_t>& ne,
                               uint32_t type, uint64_t offset) {
  std::string info = text(name) + le(static_cast<uint32_t>(ne.size()));
  for (const uint64_t n : ne) info += le(n);
  return info + le(type) + le(offset);
}

}  // namespace st::testkit
