// Chat templates for models that bring none.
#pragma once

#include <string_view>

namespace st {

// "chatml" and "gemma"; empty if there is none of this name.
std::string_view builtin_chat_template(std::string_view name);
inline constexpr std::string_view kBuiltinChatTemplates = "chatml, gemma";

}  // namespace st
