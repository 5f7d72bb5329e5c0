// Blocks of quantised types as in a file: random bits with scales that are ordinary numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "tensor/blocks.h"
#include "tensor/dtype.h"

namespace st::testkit {

// Where a block of a file has its half-precision numbers; of MXFP4 the exponent.
inline std::vector<size_t> scale_places(DType type) {
  switch (type) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ2_K:
      return {offsetof(BlockQ2_K, d), offsetof(BlockQ2_K, dmin)};
    case DType::kQ3_K:
      return {offsetof(BlockQ3_K, d)};
    case DType::kQ6_K:
      return {offsetof(BlockQ6_K, d)};
    default:
      return {0};
  }
}

// So many values. Scales are at most 1/16, some of them 0, negative or subnormal.
inline std::vector<std::byte> random_blocks(DType type, int64_t values, std::mt19937& random) {
  const DTypeInfo& info = dtype_info(type);
  std::vector<std::byte> blocks(row_bytes(info, static_cast<uint64_t>(values)));
  for (std::byte& b : blocks) b = static_cast<std::byte>(random());
  for (size_t block = 0; block < blocks.size(); block += info.block_bytes) {
    if (type == DType::kMXFP4) {
      blocks[block] = static_cast<std::byte>(116 + random() % 8);
      continue;
    }
    for (const size_t at : scale_places(type)) {
      constexpr uint16_t kOdd[] = {0x0000, 0x8000, 0x0001, 0x83FF};
      auto half = static_cast<uint16_t>((random() & 0x83FF) | (4 + random() % 7) << 10);
      if (random() % 8 == 0) half = kOdd[random() % 4];
      std::memcpy(&blocks[block + at], &half, sizeof half);
    }
  }
  return blocks;
}

// Bytes that make a scale or minimum of a block infinite or no number, and where they go.
inline std::vector<std::pair<size_t, std::vector<std::byte>>> no_numbers(DType type) {
  if (type == DType::kMXFP4) return {{0, {std::byte{255}}}};
  std::vector<std::pair<size_t, std::vector<std::byte>>> found;
  for (const size_t at : scale_places(type)) {
    for (const int top : {0x7C, 0xFC, 0x7E}) {
      found.push_back({at, {std::byte{0}, static_cast<std::byte>(top)}});
    }
  }
  return found;
}

}  // namespace st::testkit
