#pragma once

#include "cli/args.h"

namespace st {

// Loads the model a command names, with a progress bar, and prints its notices unless told not to
// (they are the same each time). Errors carry the path.
Engine load_engine(const ModelArgs& args, bool tell = true);

}  // namespace st
