#pragma once

#include <string>
#include <string_view>

namespace st {

// \n \r \t \' \" \\ and \xHH become what they mean, as in llama.cpp; any other backslash stays, so
// that formulas and paths do.
std::string process_escapes(std::string_view text);

}  // namespace st
