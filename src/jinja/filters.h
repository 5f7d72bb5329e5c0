// The filters: functions of a value and more arguments, by name.
#pragma once

#include <span>
#include <string_view>
#include <utility>

#include "jinja/ast.h"

namespace st::jinja {

// nullptr if there is none of that name.
Filter find_filter(std::string_view name);

// Filters of one kind, each table in a file of its own.
using NamedFilter = std::pair<std::string_view, Filter>;
extern const std::span<const NamedFilter> kTextFilters, kListFilters, kSelectingFilters,
    kValueFilters;

}  // namespace st::jinja
