// Python's two ways to put values into a string.
#pragma once

#include "jinja/budget.h"
#include "jinja/object.h"
#include "jinja/value.h"

namespace st::jinja {

// format % values: a tuple, a dict for %(name)s, or one value. Throws Error(kInvalidData) for
// conversions that are unknown, of a wrong type, too few or too many.
Value percent_format(const String& format, const Value& values, Budget& budget);

// "{} {0} {name.attribute[index]:>8.2f}".format(...), a method of strings.
Value format_method(Render& render, const Value& self, const Arguments& arguments);

// How a value is laid out, as both ways say it.
struct Layout {
  char32_t fill = ' ';
  bool trusted = true;  // the fill comes from a trusted text
  char align = '\0';    // '<' '>' '^', or '=': between sign and digits; 0: by the value's kind
  char sign = '-';      // '-': only if negative; '+' or ' ': also if positive
  bool alternate = false;
  char group = '\0';  // of thousands: ',' or '_'
  size_t width = 0;
  int precision = -1;  // none
  char type = '\0';
};

// A number as `layout` says. Throws Error(kInvalidData) if it cannot be.
MarkedText laid_out_number(const Value& number, const Layout& layout, Budget& budget);
// A text in its width.
MarkedText laid_out_text(const MarkedText& text, const Layout& layout, Budget& budget);

}  // namespace st::jinja
