// Checkpoints as the converter sees them: named tensors whose bytes can be read piece by piece,
// from safetensors (a JSON directory in front of raw tensors) or PyTorch's .pt, .pth and .bin files
// (a zip of a pickled state dict and raw storages).
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

// The tensors of one file, in the order of their data. Checks the whole directory: header within
// 16 MiB (the format allows 100 MB; 65,536 tensors need no more) and the file, at most 65,536
// tensors, no duplicate names, offsets in order without holes or overlap and covering the data,
// bytes equal to shape times element size. Tensors of types other than F32, F16 and BF16 are an
// Error(kUnsupported) that names the tensor and the type.
std::vector<CheckpointTensor> read_safetensors(std::shared_ptr<const ByteSource> source);

// All tensors of a Hugging Face folder: of the shards that model.safetensors.index.json lists
// (plain file names inside the folder only; the index must list each tensor under the shard that
// holds it, and each shard must exist); or, without an index, of model.safetensors, or of all of
// model-00001-of-0000N.safetensors. Shards come in the order of their names. Shards beside a
// model.safetensors that is none of them are an error: nobody knows which are the model. Errors
// begin with the path of the file concerned, which the tensors keep.
std::vector<CheckpointTensor> read_safetensors_folder(const std::string& folder);

// Nothing in the file is executed: the pickle reader knows the opcodes that torch.save writes for a
// dict of tensors and three globals (collections.OrderedDict, torch._utils._rebuild_tensor_v2 and
// the torch.*Storage types), all of which only build values of our own. Anything else is an Error.
//
// The tensors of the state dict in `source`, in its order; they share `source`. Contiguous F32, F16
// and BF16 only; zip entries must be stored, not compressed. Throws Error(kInvalidData), or
// Error(kUnsupported) for the format from before PyTorch 1.6 and other things torch can do.
std::vector<CheckpointTensor> read_torch_pt(std::shared_ptr<const ByteSource> source);

}  // namespace st
