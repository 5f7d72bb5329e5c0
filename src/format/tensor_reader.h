// What a checkpoint is to the converter: named tensors whose bytes can be read piece by piece.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "tensor/dtype.h"

namespace st {

// One tensor of a checkpoint: row-major, little-endian, contiguous.
struct CheckpointTensor {
  std::string name;
  DType type = DType::kF32;     // F32, F16 or BF16
  std::vector<uint64_t> shape;  // outermost first, as PyTorch prints it; empty for a scalar
  uint64_t offset = 0;          // of its first byte in `source`
  uint64_t bytes = 0;
  std::shared_ptr<const ByteSource> source;
  std::string file = {};  // its path, for messages; empty: not said
};

}  // namespace st
