// Values with behaviour: functions, methods, macros, loops, namespaces.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/value.h"

namespace st::jinja {

class Render;

// What a filter, test, function or macro is called with.
struct Arguments {
  std::vector<Value> positional = {};
  std::vector<std::pair<std::string, Value>> named = {};
  bool trusted_names = true;  // false: one came out of the context
};

class Object {
 public:
  virtual ~Object() = default;

  virtual std::string_view type_name() const = 0;
  // What it prints as.
  virtual std::string shown() const = 0;
  virtual bool callable() const { return true; }
  virtual Value call(Render& render, const Arguments& arguments);
  // Empty if there is no such attribute.
  virtual std::optional<Value> attribute(Render& render, std::string_view name);
};

// A function of the language, by itself or bound to the value it is a method of.
class Function final : public Object {
 public:
  using Body = Value (*)(Render& render, const Value& self, const Arguments& arguments);

  Function(std::string_view name, Body body, Value self = {})
      : name_(name), body_(body), self_(std::move(self)) {}

  std::string_view type_name() const override { return "function"; }
  std::string shown() const override;
  Value call(Render& render, const Arguments& arguments) override {
    return body_(render, self_, arguments);
  }

 private:
  std::string_view name_;  // of a table
  Body body_;
  Value self_;
};

// Throws the Error of a value that is needed and is not there. REQUIRES: it is undefined.
[[noreturn]] void refuse_undefined(const Value& value);

// Arguments by the names of their parameters, as Python binds them. Errors name the callee.
class Parameters {
 public:
  // Throws Error(kInvalidData) on too many arguments, unknown names, two values for one.
  Parameters(std::string_view callee, const Arguments& arguments,
             std::initializer_list<std::string_view> names);

  bool has(size_t i) const { return values_[i] != nullptr; }
  // Throws Error(kInvalidData) if it is not given.
  const Value& required(size_t i) const;
  // The fallback if it is not given.
  Value value(size_t i, Value fallback) const;
  // Also None is no number here: the fallback.
  int64_t integer(size_t i, int64_t fallback) const;
  bool truth(size_t i, bool fallback) const;
  // Throws Error(kInvalidData) if it is no string.
  const String& string(size_t i) const;

 private:
  std::string_view callee_;
  std::vector<std::string_view> names_;
  std::vector<const Value*> values_;  // of the caller's Arguments
};

}  // namespace st::jinja
