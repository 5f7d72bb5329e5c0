#include "jinja/object.h"

#include <algorithm>

#include "jinja/refuse.h"

namespace st::jinja {

void refuse_undefined(const Value& value) {
  const auto& name = value.as_undefined().name;
  if (name == nullptr) refuse("a value is undefined");
  refuse("'{}' is undefined", printable(*name, 60));
}

Value Object::call(Render&, const Arguments&) { refuse("'{}' cannot be called", type_name()); }

std::optional<Value> Object::attribute(Render&, std::string_view) { return std::nullopt; }

std::string Function::shown() const { return fmt::format("<function {}>", name_); }

Parameters::Parameters(std::string_view callee, const Arguments& arguments,
                       std::initializer_list<std::string_view> names)
    : callee_(callee), names_(names), values_(names.size()) {
  if (arguments.positional.size() > names_.size()) {
    refuse("{}: at most {} arguments, got {}", callee_, names_.size(), arguments.positional.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto i = static_cast<size_t>(std::ranges::find(names_, name) - names_.begin());
    if (i == names_.size()) refuse("{}: unknown argument '{}'", callee_, printable(name, 60));
    if (values_[i] != nullptr) refuse("{}: two values for '{}'", callee_, names_[i]);
    values_[i] = &value;
  }
}

const Value& Parameters::required(size_t i) const {
  if (!has(i)) refuse("{}: argument '{}' is missing", callee_, names_[i]);
  return *values_[i];
}

Value Parameters::value(size_t i, Value fallback) const {
  return has(i) ? *values_[i] : std::move(fallback);
}

int64_t Parameters::integer(size_t i, int64_t fallback) const {
  if (!has(i) || values_[i]->is_none()) return fallback;
  const Value& value = *values_[i];
  if (value.is_undefined()) refuse_undefined(value);
  if (value.is_bool()) return value.as_bool();
  if (!value.is_int()) {
    refuse("{}: '{}' wants an integer, not '{}'", callee_, names_[i], value.type_name());
  }
  return value.as_int();
}

bool Parameters::truth(size_t i, bool fallback) const {
  return has(i) ? values_[i]->truth() : fallback;
}

const String& Parameters::string(size_t i) const {
  const Value& value = required(i);
  if (value.is_undefined()) refuse_undefined(value);
  if (!value.is_string()) {
    refuse("{}: '{}' wants a string, not '{}'", callee_, names_[i], value.type_name());
  }
  return value.as_string();
}

}  // namespace st::jinja
