#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace st {

// Writes a float32 NumPy array (rows, cols), format version 1.0. Throws Error(kIo).
void write_npy(const std::string& path, std::span<const float> values, int64_t rows, int64_t cols);

}  // namespace st
