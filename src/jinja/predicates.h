// What may follow `is`: tests of a value, by name.
#pragma once

#include <string_view>

#include "jinja/ast.h"

namespace st::jinja {

// nullptr if there is none of that name.
Test find_test(std::string_view name);

}  // namespace st::jinja
