#pragma once

#include <string>
#include <string_view>

namespace st {

// \n \r \t \' \" \\ \a \b \f \v \0 and \xHH become what they mean; any other backslash stays.
std::string process_escapes(std::string_view text);

}  // namespace st
