// Tools for models whose template knows none: explained in a system message of our own, called as
// Hermes 2 does, answered by the user.
#pragma once

#include <vector>

#include "chat/message.h"

namespace st {

// The same chat in messages without calls and without results of tools.
std::vector<Message> with_generic_tools(std::vector<Message> messages,
                                        const std::vector<Tool>& tools);

}  // namespace st
