// What commands share that deal with models by name.
#pragma once

#include "cli/args.h"
#include "hub/pull.h"

namespace st {

// Downloads a model with what the command line has for that: a progress bar, notes, Ctrl-C, and the
// hub that the environment names.
PullResult pull(const PullArgs& args, const ModelName& name, const ModelStore& store);

}  // namespace st
