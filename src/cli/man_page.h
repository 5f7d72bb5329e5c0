// The manual page, made of what the commands say of themselves.
#pragma once

#include <span>
#include <string>

#include "cli/command_docs.h"

namespace st {

// smallthinker(1) in the macros of man(7).
std::string man_page(std::span<const CommandDoc> commands, const std::string& version);

}  // namespace st
