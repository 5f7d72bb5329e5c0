// What the writers of GGUF files share.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "format/gguf.h"
#include "format/gguf_model.h"
#include "model/config.h"

namespace st {

// Sets general.* and the keys of the architecture, config.architecture: llama.cpp's, and for
// "smallthinker" after them our own, which say what llama.cpp can only guess. `type` is that of
// most matrices.
void set_gguf_metadata(const ModelConfig& config, DType type, bool down_transposed,
                       GgufWriter& writer);

// Everything but what belongs to the split, the alignment or the bundle that the input is.
void copy_entries(const GgufFile& in, GgufWriter& out);

// The tensor's bytes as they are, piece by piece. `file` has it: an error of reading names both,
// one of the sink is left alone.
void copy_bytes(const GgufModel::Tensor& tensor, std::string_view file,
                const std::function<void(std::span<const std::byte>)>& sink);

// By the rule of the reference's script: expert weights, in our bundles too.
bool is_expert_tensor(const GgufTensor& tensor);

}  // namespace st
