// Scripts with which shells complete our command lines.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "cli/command_docs.h"

namespace st {

inline constexpr std::string_view kShells[] = {"bash", "zsh", "fish"};

// To be read by the shell. REQUIRES: one of kShells.
std::string completion_script(std::string_view shell, std::span<const CommandDoc> commands);

// What a user does with it, in one sentence for each shell.
inline constexpr std::string_view kCompletionHelp =
    "bash: eval \"$(smallthinker completion bash)\"; zsh: the same, after compinit; fish: "
    "smallthinker completion fish | source";

}  // namespace st
