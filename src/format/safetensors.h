// safetensors: a JSON directory in front of raw tensors.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "format/tensor_reader.h"

namespace st {

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

}  // namespace st
