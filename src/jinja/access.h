// What a value has inside: attributes, elements, slices; as the sandbox of Jinja lets at them.
#pragma once

#include "jinja/budget.h"
#include "jinja/value.h"

namespace st::jinja {

class Render;

// All three throw Error(kInvalidData) if `object` is undefined. An attribute or element that is not
// there is undefined.
Value attribute_of(Render& render, const Value& object, std::string_view name);
Value item_of(Render& render, const Value& object, const Value& index);
// A bound that is None is absent. Throws Error(kInvalidData) if `object` has no slices.
Value slice_of(const Value& object, const Value& begin, const Value& end, const Value& step,
               Budget& budget);

// The members of a dict, or of a list of pairs. Throws Error(kInvalidData) if it is none.
std::vector<Value::Member> pairs_of(Render& render, const Value& value, std::string_view callee);

// len(): characters of a string, elements; 0 of undefined. Throws Error(kInvalidData) if it has
// none.
int64_t length_of(const Value& value, Budget& budget);

// The elements that `for` goes through.
class Elements {
 public:
  // Throws Error(kInvalidData) if it cannot be iterated over. Those of an iterator are taken.
  Elements(const Value& value, Budget& budget);
  explicit Elements(std::vector<Value> items) : own_(std::move(items)) {}

  const std::vector<Value>& items() const { return items_ == nullptr ? own_ : *items_; }
  auto begin() const { return items().begin(); }
  auto end() const { return items().end(); }
  size_t size() const { return items().size(); }

 private:
  Value value_;  // owns what items_ points to
  const std::vector<Value>* items_ = nullptr;
  std::vector<Value> own_;
};

}  // namespace st::jinja
