// One 64-bit checksum for everything we store: XXH3 (libxxhash), which runs at the speed of memory.
// It finds broken bytes, not forged ones. The value is part of our file formats: never change it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace st {

uint64_t checksum(std::span<const std::byte> bytes);

}  // namespace st
