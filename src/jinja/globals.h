// The functions that every template has.
#pragma once

#include <string_view>

#include "jinja/value.h"

namespace st::jinja {

// Undefined if there is none of that name.
Value find_global(std::string_view name);

}  // namespace st::jinja
