// What the writers of GGUF files from GGUF files share.
#pragma once

#include <functional>
#include <span>

#include "format/gguf_model.h"

namespace st {

// Everything but what belongs to the split or the alignment of the input.
void copy_entries(const GgufFile& in, GgufWriter& out);

// The tensor's bytes as they are, piece by piece.
void copy_bytes(const GgufModel::Tensor& tensor,
                const std::function<void(std::span<const std::byte>)>& sink);

// By the rule of the reference's script: expert weights, in our bundles too.
bool is_expert_tensor(const GgufTensor& tensor);

}  // namespace st
