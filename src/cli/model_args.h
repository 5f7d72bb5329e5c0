#pragma once

#include "cli/args.h"

namespace st {

// Throws the Error that loading `path` would begin with, if it is no model at all.
void check_model_file(const std::string& path);

// Loads the model a command names, with a progress bar, and prints its notices unless told not to
// (they are the same each time). Errors carry the path.
Engine load_engine(const ModelArgs& args, bool tell = true);

}  // namespace st
