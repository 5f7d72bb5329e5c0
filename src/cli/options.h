// The command line as users type it, or paste it from llama.cpp -> Command.
#pragma once

#include <string>
#include <vector>

#include "cli/args.h"

namespace st {

struct CommandLine {
  Command command;
  std::vector<std::string> notes;  // to be told: what was understood and has no effect
};

// `arguments` without the program's name. Throws Error(kInvalidUsage) with a one-line message.
CommandLine parse_command_line(std::vector<std::string> arguments);

}  // namespace st
