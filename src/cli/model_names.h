// Models by name where a command wants a path.
#pragma once

#include "cli/args.h"

namespace st {

// A command whose models are paths: what is OWNER/REPO[:QUANT], and no file of that path, is found
// among the models that are here, or downloaded. Throws Error.
Command with_model_paths(Command command);

}  // namespace st
