// The command line as users type it -> Command.
#pragma once

#include <string>
#include <vector>

#include "cli/args.h"

namespace st {

// `arguments` without the program's name. Throws Error(kInvalidUsage) with a one-line message.
Command parse_command_line(std::vector<std::string> arguments);

}  // namespace st
