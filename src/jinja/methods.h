// The methods of strings, lists, dicts and loops.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "jinja/object.h"

namespace st::jinja {

using Method = std::pair<std::string_view, Function::Body>;
extern const std::span<const Method> kStringMethods;

// A method bound to its object. Undefined if it is one that would change the object; empty if there
// is none of that name.
std::optional<Value> find_method(const Value& object, std::string_view name);

}  // namespace st::jinja
