// Messages of several lines, as they are typed: a line that ends with a backslash goes on, and so
// does what begins with """ until it ends with """.
#pragma once

#include <string>
#include <string_view>

namespace st {

// Whether Enter ends such a message, or begins another line of it.
enum class Continues : unsigned char { kNo, kAfterBackslash, kInBlock };
Continues continues(std::string_view typed);

// The message: what stands between the quotes of a block, without the line feeds beside them;
// everything else as it is.
std::string typed_message(std::string_view typed);

}  // namespace st
