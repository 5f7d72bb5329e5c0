// "a.b.0": the attribute of elements that filters look at.
#pragma once

#include <vector>

#include "jinja/value.h"

namespace st::jinja {

class Render;

class AttributePath {
 public:
  // Of a string, an integer, or None: the element itself. `fallback`: if an attribute is undefined.
  AttributePath(Render& render, const Value& path, Value fallback = {});

  Value of(const Value& element) const;

 private:
  Render& render_;
  std::vector<Value> steps_;
  Value fallback_;
};

// Strings in lower case, so that they compare alike; other values as they are.
Value without_case(Render& render, const Value& value);

}  // namespace st::jinja
