// Which model a file has: for who keeps what one has computed, and must not give it to another.
#pragma once

#include <cstdint>

#include "engine/model.h"

namespace st {

// A checksum of names, types, shapes and places of all tensors, and of a few bytes out of each, so
// that models which were trained on differ; not of all bytes, which would take as long as loading.
// Throws Error(kIo) if the file cannot be read.
uint64_t fingerprint(const Model& model);

// Of all tokens.
uint64_t fingerprint(const Tokenizer& tokenizer);

}  // namespace st
