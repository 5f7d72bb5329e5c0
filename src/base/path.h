// Names of files in messages.
#pragma once

#include <string>
#include <string_view>

namespace st {

// As printable(), but whole: a path that is cut names no file.
std::string printable_path(std::string_view path);

}  // namespace st
