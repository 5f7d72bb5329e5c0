// What a file says and nobody asked for. A model is refused rather than run without a part of it:
// its architecture asks for every tensor and every key it knows, and what is left is judged here.
#pragma once

#include <string>
#include <vector>

#include "format/gguf_model.h"
#include "model/config.h"

namespace st {

// Keys that llama.cpp has for some families and that this one does not look at: throws
// Error(kUnsupported) unless they have the value that changes nothing. To be called when the
// configuration has been read.
void check_neutral_keys(const GgufFile& file, const ModelConfig& config);

// Throws Error(kUnsupported) naming the first tensor that nobody asked for. To be called after
// Architecture::load.
void refuse_unread_tensors(const GgufModel& model);

// Throws Error(kUnsupported) for a key that nobody asked for and that may change what is computed,
// with its value. The others, which only describe, are returned. To be called when configuration
// and vocabulary have been read.
std::vector<std::string> refuse_unread_keys(const GgufFile& file);

}  // namespace st
