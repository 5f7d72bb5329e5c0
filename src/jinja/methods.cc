#include "jinja/methods.h"

#include <algorithm>
#include <array>

#include "jinja/compare.h"
#include "jinja/loop.h"
#include "jinja/render.h"

namespace st::jinja {
namespace {

Value get(Render&, const Value& self, const Arguments& arguments) {
  const Parameters parameters("get", arguments, {"key", "default"});
  const Value* value = self.as_dict().find(parameters.required(0));
  return value == nullptr ? parameters.value(1, None{}) : *value;
}

Value items(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters none("items", arguments, {});
  render.budget().new_list(2 * self.as_dict().size());
  Sequence view{.type = Sequence::Type::kItems};
  for (const auto& [key, value] : self.as_dict().members()) {
    view.items.push_back(Value::tuple({key, value}));
  }
  return view;
}

Value keys(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters none("keys", arguments, {});
  render.budget().new_list(self.as_dict().size());
  Sequence view{.type = Sequence::Type::kKeys};
  for (const auto& [key, value] : self.as_dict().members()) view.items.push_back(key);
  return view;
}

Value values(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters none("values", arguments, {});
  render.budget().new_list(self.as_dict().size());
  Sequence view{.type = Sequence::Type::kValues};
  for (const auto& [key, value] : self.as_dict().members()) view.items.push_back(value);
  return view;
}

// Nothing changes, so that the same value serves.
Value copy(Render&, const Value& self, const Arguments& arguments) {
  const Parameters none("copy", arguments, {});
  return self;
}

Value count(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters parameters("count", arguments, {"value"});
  return static_cast<int64_t>(std::ranges::count_if(self.as_sequence().items, [&](const Value& v) {
    return equal(v, parameters.required(0), render.budget());
  }));
}

Value index(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters parameters("index", arguments, {"value"});
  const auto& list = self.as_sequence().items;
  const auto found = std::ranges::find_if(
      list, [&](const Value& v) { return equal(v, parameters.required(0), render.budget()); });
  if (found == list.end()) refuse("index: the value is not in the list");
  return int64_t{found - list.begin()};
}

Value cycle(Render&, const Value& self, const Arguments& arguments) {
  return dynamic_cast<Loop&>(self.as_object()).cycle(arguments);
}

Value changed(Render& render, const Value& self, const Arguments& arguments) {
  return dynamic_cast<Loop&>(self.as_object()).changed(render, arguments);
}

constexpr auto kDictMethods = std::to_array<Method>(
    {{"copy", copy}, {"get", get}, {"items", items}, {"keys", keys}, {"values", values}});
constexpr auto kListMethods =
    std::to_array<Method>({{"copy", copy}, {"count", count}, {"index", index}});
constexpr auto kTupleMethods = std::to_array<Method>({{"count", count}, {"index", index}});
constexpr auto kLoopMethods = std::to_array<Method>({{"changed", changed}, {"cycle", cycle}});
constexpr auto kChangeDict = std::to_array<std::string_view>(
    {"clear", "fromkeys", "pop", "popitem", "setdefault", "update"});

std::span<const Method> methods_of(const Value& object) {
  if (object.is_string()) return kStringMethods;
  if (object.is_dict()) return kDictMethods;
  if (object.is_object()) {
    const bool loop = dynamic_cast<const Loop*>(&object.as_object()) != nullptr;
    return loop ? std::span<const Method>(kLoopMethods) : std::span<const Method>();
  }
  if (!object.is_sequence()) return {};
  const Sequence& sequence = object.as_sequence();
  if (sequence.is_list()) return kListMethods;
  const bool tuple = sequence.is_tuple() || sequence.type == Sequence::Type::kRange;
  return tuple ? std::span<const Method>(kTupleMethods) : std::span<const Method>();
}

}  // namespace

std::optional<Value> find_method(const Value& object, std::string_view name) {
  for (const auto& [known, body] : methods_of(object)) {
    if (known == name) {
      return Value(std::shared_ptr<Object>(std::make_shared<Function>(known, body, object)));
    }
  }
  const bool changes =
      object.is_dict() && std::ranges::find(kChangeDict, name) != kChangeDict.end();
  if (changes) return Value::undefined(name);
  return std::nullopt;
}

}  // namespace st::jinja
