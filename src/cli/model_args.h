#pragma once

#include "cli/args.h"

namespace st {

// Loads the model a command names, with a progress bar, and prints its notices. Errors carry the
// path.
Engine load_engine(const ModelArgs& args);

}  // namespace st
