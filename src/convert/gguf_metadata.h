// The metadata of a model file.
#pragma once

#include "format/gguf.h"
#include "model/config.h"

namespace st {

// Sets general.* and the keys of the architecture, config.architecture: llama.cpp's, and for
// "smallthinker" after them our own, which say what llama.cpp can only guess. `type` is that of
// most matrices.
void set_gguf_metadata(const ModelConfig& config, DType type, bool down_transposed,
                       GgufWriter& writer);

}  // namespace st
