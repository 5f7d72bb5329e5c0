// `inspect --system`: the machine as we see it, and what follows from that.
#pragma once

#include "cli/args.h"

namespace st {

int inspect_system(const InspectArgs& args);

}  // namespace st
