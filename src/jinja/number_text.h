// Numbers as Python writes and reads them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace st::jinja {

// repr() of a float: the shortest digits that give it back; "1.0", "1e+16", "1e-05", "inf", "nan".
std::string float_text(double value);

// Digits with an optional sign, point and exponent, or inf, infinity, nan, as float() takes them.
// Empty if `text` is none of these.
std::optional<double> parse_float(std::string_view text);

}  // namespace st::jinja
