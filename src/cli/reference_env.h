// The environment variables of the reference engine, for those who come from there: they count with
// --reference-env, and a flag wins over them.
#pragma once

#include <string>
#include <vector>

#include "cli/args.h"

namespace st {

// What `command` is with them; `notes` get a line for each that was understood:
// EXPERT_BUNDLE_PATH is --expert-bundle, or -m if it is a bundle of ours, which is a whole model;
// MAX_N_CACHED is how many matrices, three to an expert, may be in memory beside all else;
// GENERATE_EXPERT_BUNDLE has `run` make a bundle of its model instead.
// Throws Error(kInvalidUsage) if one of them is nothing of the kind.
Command with_reference_env(Command command, std::vector<std::string>& notes);

// Gives an engine that was loaded without a limit the budget that so many matrices are; only the
// engine can tell.
void keep_to_matrices(Engine& engine, int64_t matrices, bool tell);

}  // namespace st
