#pragma once

#include "cli/args.h"
#include "cli/text_tokens.h"

namespace st {

// Throws Error(kInvalidData) if `path` is a folder, telling what to do with it.
void refuse_folder(const std::string& path);

// Throws the Error that loading `path` would begin with, if it is no model at all.
void check_model_file(const std::string& path);

// Loads the model a command names, with a progress bar, and prints its notices unless told not to
// (they are the same each time). Errors carry the path.
// `text` is encoded on the way, before memory is planned.
Engine load_engine(const ModelArgs& args, bool tell = true, TextTokens* text = nullptr);

}  // namespace st
