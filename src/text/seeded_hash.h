// A hash for texts of files.
#pragma once

#include <cstdint>
#include <random>
#include <string_view>

namespace st {

// Nobody can aim collisions at it, since it differs from run to run.
struct SeededHash {
  uint64_t seed = std::random_device{}() | uint64_t{std::random_device{}()} << 32;
  size_t operator()(std::string_view text) const {
    uint64_t hash = seed;
    for (const char c : text) {
      hash = (hash ^ static_cast<uint8_t>(c)) * 0x9E3779B97F4A7C15;
      hash ^= hash >> 32;
    }
    return hash;
  }
};

}  // namespace st
