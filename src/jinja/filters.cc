#include "jinja/filters.h"

#include <algorithm>

namespace st::jinja {

Filter find_filter(std::string_view name) {
  for (const auto& table : {kTextFilters, kListFilters, kSelectingFilters, kValueFilters}) {
    const auto found = std::ranges::find(table, name, &NamedFilter::first);
    if (found != table.end()) return found->second;
  }
  return nullptr;
}

}  // namespace st::jinja
