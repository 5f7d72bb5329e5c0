// Which layer a tensor of a GGUF file belongs to, as llama.cpp names them.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace st {

// Of "blk.3.attn_v.weight": 3; nothing for tensors of no layer.
inline std::optional<int64_t> layer_of(std::string_view tensor) {
  constexpr std::string_view kPrefix = "blk.";
  int64_t layer = 0;
  if (!tensor.starts_with(kPrefix)) return std::nullopt;
  const char* end = tensor.data() + tensor.size();
  if (std::from_chars(tensor.data() + kPrefix.size(), end, layer).ec != std::errc()) {
    return std::nullopt;
  }
  return layer;
}

}  // namespace st
