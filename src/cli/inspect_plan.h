// inspect --plan: how a memory budget would be divided, and what to expect of it.
#pragma once

#include "cli/args.h"

namespace st {

int inspect_plan(const InspectArgs& args);

}  // namespace st
