// Filters that use other filters and tests on each element. Of whatever is not true, even None, all
// of them make nothing.
#include <array>

#include "jinja/access.h"
#include "jinja/attribute_path.h"
#include "jinja/filters.h"
#include "jinja/predicates.h"
#include "jinja/render.h"

namespace st::jinja {
namespace {

// The arguments behind the first `count`.
Arguments behind(const Arguments& arguments, size_t count) {
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(count));
  return rest;
}

const std::string& name_at(const Arguments& arguments, size_t i, std::string_view what) {
  const Value& name = arguments.positional[i];
  if (!name.is_string()) refuse("wants the name of a {}, not '{}'", what, name.type_name());
  return name.bytes();
}

// Elements that a test lets through, or does not; without a test: that are true.
template <bool wanted, bool of_attribute>
Value choose(Render& render, const Value& input, const Arguments& arguments) {
  if (of_attribute && arguments.positional.empty()) refuse("selectattr: wants an attribute");
  const AttributePath path(render, of_attribute ? arguments.positional[0] : Value(None{}));
  size_t used = of_attribute ? 1 : 0;  // arguments
  Test test = nullptr;
  if (arguments.positional.size() > used) {
    const std::string& name = name_at(arguments, used++, "test");
    test = find_test(name);
    if (test == nullptr) refuse("no test '{}'", printable(name, 60));
  }
  const Arguments rest = behind(arguments, used);
  std::vector<Value> chosen;
  if (!input.truth()) return Value::iterator(std::move(chosen));
  for (const Value& element : Elements(input, render.budget())) {
    render.budget().steps(1);
    const Value value = path.of(element);
    const bool passes = test == nullptr ? value.truth() : test(render, value, rest);
    if (passes == wanted) chosen.push_back(element);
  }
  return Value::iterator(std::move(chosen));
}

Value map_attribute(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("map", arguments, {"attribute", "default"});
  const AttributePath path(render, parameters.required(0), parameters.value(1, None{}));
  std::vector<Value> values;
  if (!input.truth()) return Value::iterator(std::move(values));
  for (const Value& element : Elements(input, render.budget())) values.push_back(path.of(element));
  return Value::iterator(std::move(values));
}

Value map(Render& render, const Value& input, const Arguments& arguments) {
  if (arguments.positional.empty()) return map_attribute(render, input, arguments);
  const std::string& name = name_at(arguments, 0, "filter");
  const Filter filter = find_filter(name);
  if (filter == nullptr) refuse("no filter '{}'", printable(name, 60));
  const Arguments rest = behind(arguments, 1);
  std::vector<Value> values;
  if (!input.truth()) return Value::iterator(std::move(values));
  for (const Value& element : Elements(input, render.budget())) {
    render.budget().steps(1);
    values.push_back(filter(render, element, rest));
  }
  return Value::iterator(std::move(values));
}

constexpr auto kFilters = std::to_array<NamedFilter>({
    {"map", map},
    {"reject", choose<false, false>},
    {"rejectattr", choose<false, true>},
    {"select", choose<true, false>},
    {"selectattr", choose<true, true>},
});

}  // namespace

const std::span<const NamedFilter> kSelectingFilters = kFilters;

}  // namespace st::jinja
