// Sizes as people write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace st {

// "512MiB", "8G", "1.5 GiB", ".5Gi", "4096": K, M, G and T are powers of 1024, with or without i, B
// or iB; the case does not matter. Parts of bytes are dropped. nullopt for anything else, and for
// more than 2^63 bytes.
std::optional<uint64_t> parse_bytes(std::string_view text);

}  // namespace st
