// Filters of lists: their order, their parts, what comes of all elements.
#include <algorithm>
#include <array>
#include <set>

#include "jinja/access.h"
#include "jinja/attribute_path.h"
#include "jinja/compare.h"
#include "jinja/filters.h"
#include "jinja/marks.h"
#include "jinja/operators.h"
#include "jinja/render.h"
#include "jinja/strings.h"
#include "jinja/text_of.h"

namespace st::jinja {
namespace {

std::vector<Value> list_of(Render& render, const Value& value) {
  const Elements elements(value, render.budget());
  render.budget().new_list(elements.size());
  return {elements.begin(), elements.end()};
}

Value first(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters none("first", arguments, {});
  if (input.is_sequence() && input.as_sequence().is_iterator()) {
    const Sequence& sequence = input.as_sequence();
    if (sequence.taken == sequence.items.size()) return {};
    return sequence.items[sequence.taken++];
  }
  const Elements elements(input, render.budget());
  return elements.size() == 0 ? Value() : elements.items()[0];
}

Value last(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters none("last", arguments, {});
  const bool once = input.is_sequence() && input.as_sequence().is_iterator();
  if (once) refuse("last: an iterator has no end to begin at; want a list");
  const Elements elements(input, render.budget());
  return elements.size() == 0 ? Value() : elements.items().back();
}

Value length(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters none("length", arguments, {});
  return length_of(input, render.budget());
}

Value list(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters none("list", arguments, {});
  return Value::list(list_of(render, input));
}

Value reverse(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters none("reverse", arguments, {});
  if (input.is_string()) {
    return slice_of(input, None{}, None{}, int64_t{-1}, render.budget());
  }
  std::vector<Value> items = list_of(render, input);
  std::ranges::reverse(items);
  const bool once = input.is_sequence() && input.as_sequence().is_iterator();
  return once ? Value::list(std::move(items)) : Value::iterator(std::move(items));
}

Value join(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("join", arguments, {"d", "attribute"});
  Budget& budget = render.budget();
  const AttributePath path(render, parameters.value(1, None{}));
  std::vector<MarkedText> parts;
  for (const Value& element : Elements(input, budget)) {
    budget.steps(1);
    parts.push_back(text_of(path.of(element), budget));
  }
  return joined(parts, text_of(parameters.value(0, {}), budget), budget);
}

using Keyed = std::pair<Value, Value>;  // what is compared, and the element

void sort_by_keys(Render& render, std::vector<Keyed>& keyed, bool descending) {
  const auto before = [&](const Keyed& a, const Keyed& b) {
    const auto& [left, right] = descending ? std::tie(b, a) : std::tie(a, b);
    return order(left.first, right.first, render.budget()) < 0;
  };
  std::ranges::stable_sort(keyed, before);
}

Value keys_of(const std::vector<AttributePath>& paths, Render& render, const Value& element,
              bool case_sensitive) {
  std::vector<Value> keys;
  for (const AttributePath& path : paths) {
    const Value key = path.of(element);
    keys.push_back(case_sensitive ? key : without_case(render, key));
  }
  return Value::list(std::move(keys));
}

std::vector<Value> elements_of(std::vector<Keyed> keyed) {
  std::vector<Value> elements;
  for (auto& [key, element] : keyed) elements.push_back(std::move(element));
  return elements;
}

Value sort(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const Value attribute = parameters.value(2, None{});
  std::vector<AttributePath> paths;
  if (attribute.is_string()) {
    for (MarkedText& path : split(attribute.as_string().text, ",", -1, render.budget())) {
      paths.emplace_back(render, std::move(path));
    }
  } else {
    paths.emplace_back(render, attribute);
  }
  std::vector<Keyed> keyed;
  for (const Value& element : Elements(input, render.budget())) {
    keyed.emplace_back(keys_of(paths, render, element, parameters.truth(1, false)), element);
  }
  sort_by_keys(render, keyed, parameters.truth(0, false));
  return Value::list(elements_of(std::move(keyed)));
}

Value dictsort(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  if (!input.is_dict()) refuse("dictsort: wants a dict, not '{}'", input.type_name());
  const std::string by = parameters.has(1) ? parameters.string(1).text.bytes : "key";
  if (by != "key" && by != "value") refuse("dictsort: by '{}', want key or value", printable(by));
  render.budget().new_list(2 * input.as_dict().size());
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : input.as_dict().members()) {
    const Value& compared = by == "key" ? key : value;
    keyed.emplace_back(parameters.truth(0, false) ? compared : without_case(render, compared),
                       Value::tuple({key, value}));
  }
  sort_by_keys(render, keyed, parameters.truth(2, false));
  return Value::list(elements_of(std::move(keyed)));
}

template <bool largest>
Value extreme(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters(largest ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const AttributePath path(render, parameters.value(1, None{}));
  Value best, best_key;
  bool any = false;
  for (const Value& element : Elements(input, render.budget())) {
    Value key = path.of(element);
    if (!parameters.truth(0, false)) key = without_case(render, key);
    if (any) {
      const auto compared = order(key, best_key, render.budget());
      if (largest ? !(compared > 0) : !(compared < 0)) continue;
    }
    any = true;
    best = element;
    best_key = std::move(key);
  }
  return best;
}

Value sum(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("sum", arguments, {"attribute", "start"});
  const AttributePath path(render, parameters.value(0, None{}));
  Value total = parameters.value(1, int64_t{0});
  if (total.is_string()) refuse("sum: of strings there is none; want join");
  for (const Value& element : Elements(input, render.budget())) {
    total = apply(BinaryOperator::kAdd, total, path.of(element), render.budget());
  }
  return total;
}

struct KeyLess {
  bool operator()(const Value& a, const Value& b) const { return order_of_keys(a, b) < 0; }
};

Value unique(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("unique", arguments, {"case_sensitive", "attribute"});
  const AttributePath path(render, parameters.value(1, None{}));
  std::set<Value, KeyLess> seen;
  std::vector<Value> kept;
  for (const Value& element : Elements(input, render.budget())) {
    render.budget().steps(1);
    Value key = path.of(element);
    if (!parameters.truth(0, false)) key = without_case(render, key);
    check_key(key);
    if (seen.insert(std::move(key)).second) kept.push_back(element);
  }
  return Value::iterator(std::move(kept));
}

Value batch(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("batch", arguments, {"linecount", "fill_with"});
  parameters.required(0);
  const int64_t size = parameters.integer(0, 0);
  if (size < 1) refuse("batch: lines of {} elements", size);
  const Elements elements(input, render.budget());
  render.budget().new_list(2 * elements.size());
  std::vector<Value> lines;
  std::vector<Value> line;
  for (const Value& element : elements) {
    line.push_back(element);
    if (line.size() == static_cast<uint64_t>(size)) lines.push_back(Value::list(std::move(line)));
    if (line.size() == static_cast<uint64_t>(size)) line.clear();
  }
  const Value fill = parameters.value(1, None{});
  if (!line.empty() && !fill.is_none()) {
    render.budget().new_list(static_cast<uint64_t>(size));
    line.resize(static_cast<size_t>(size), fill);
  }
  if (!line.empty()) lines.push_back(Value::list(std::move(line)));
  return Value::iterator(std::move(lines));
}

Value slice(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("slice", arguments, {"slices", "fill_with"});
  parameters.required(0);
  const int64_t slices = parameters.integer(0, 0);
  if (slices == 0) refuse("slice: division by zero");
  const std::vector<Value> all = list_of(render, input);
  const Value fill = parameters.value(1, None{});
  std::vector<Value> parts;
  if (slices > 0) render.budget().new_list(static_cast<uint64_t>(slices));
  size_t at = 0;
  for (int64_t i = 0; i < slices; ++i) {
    const auto size = static_cast<int64_t>(all.size());
    const bool extra = i < size % slices;
    const auto end = at + static_cast<size_t>(size / slices) + extra;
    std::vector<Value> part(all.begin() + static_cast<std::ptrdiff_t>(at),
                            all.begin() + static_cast<std::ptrdiff_t>(end));
    if (!fill.is_none() && !extra) part.push_back(fill);
    parts.push_back(Value::list(std::move(part)));
    at = end;
  }
  return Value::iterator(std::move(parts));
}

Value groupby(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters parameters("groupby", arguments, {"attribute", "default", "case_sensitive"});
  const AttributePath path(render, parameters.required(0), parameters.value(1, None{}));
  const bool case_sensitive = parameters.truth(2, false);
  std::vector<Keyed> keyed;
  for (const Value& element : Elements(input, render.budget())) {
    const Value key = path.of(element);
    keyed.emplace_back(case_sensitive ? key : without_case(render, key), element);
  }
  sort_by_keys(render, keyed, false);
  std::vector<Value> groups;
  for (size_t i = 0; i < keyed.size();) {
    const size_t begin = i;
    std::vector<Value> group;
    while (i < keyed.size() && equal(keyed[i].first, keyed[begin].first, render.budget())) {
      group.push_back(keyed[i++].second);
    }
    const Value key = path.of(group[0]);
    groups.push_back(Value::tuple({key, Value::list(std::move(group))}));
  }
  return Value::list(std::move(groups));
}

Value items(Render& render, const Value& input, const Arguments& arguments) {
  const Parameters none("items", arguments, {});
  if (input.is_undefined()) return Value::iterator({});
  if (!input.is_dict()) refuse("items: wants a dict, not '{}'", input.type_name());
  render.budget().new_list(2 * input.as_dict().size());
  std::vector<Value> pairs;
  for (const auto& [key, value] : input.as_dict().members()) {
    pairs.push_back(Value::tuple({key, value}));
  }
  return Value::iterator(std::move(pairs));
}

constexpr auto kFilters = std::to_array<NamedFilter>({
    {"batch", batch},
    {"count", length},
    {"dictsort", dictsort},
    {"first", first},
    {"groupby", groupby},
    {"items", items},
    {"join", join},
    {"last", last},
    {"length", length},
    {"list", list},
    {"max", extreme<true>},
    {"min", extreme<false>},
    {"reverse", reverse},
    {"slice", slice},
    {"sort", sort},
    {"sum", sum},
    {"unique", unique},
});

}  // namespace

const std::span<const NamedFilter> kListFilters = kFilters;

}  // namespace st::jinja
