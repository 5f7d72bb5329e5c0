// Values as text: what {{ }} prints, what they look like within lists, and as JSON.
#pragma once

#include "jinja/budget.h"
#include "jinja/value.h"

namespace st::jinja {

// str(): a string is its own text; undefined is "".
MarkedText text_of(const Value& value, Budget& budget);
// repr(): strings in quotes, with escapes.
MarkedText shown_value(const Value& value, Budget& budget);

struct JsonLayout {
  bool ensure_ascii = false;
  bool indented = false;
  MarkedText indent = {};  // of one level, if indented
  MarkedText item_separator, key_separator;
  bool sort_keys = false;
};

// json.dumps(). Throws Error(kInvalidData) for what JSON cannot say.
MarkedText json_of(const Value& value, const JsonLayout& layout, Budget& budget);

}  // namespace st::jinja
