// Numbers and texts in a width.
#include <fmt/format.h>

#include <cmath>

#include "jinja/format.h"
#include "jinja/marks.h"
#include "jinja/number_text.h"
#include "jinja/refuse.h"
#include "jinja/strings.h"
#include "text/utf8.h"

namespace st::jinja {
namespace {

constexpr int kMaxPrecision = 1000;

// Digits of a number without its sign.
std::string digits_of_whole(uint64_t value, const Layout& layout) {
  const std::string prefix = !layout.alternate ? "" : fmt::format("0{}", layout.type);
  switch (layout.type) {
    case 'x':
      return prefix + fmt::format("{:x}", value);
    case 'X':
      return prefix + fmt::format("{:X}", value);
    case 'o':
      return prefix + fmt::format("{:o}", value);
    case 'b':
      return prefix + fmt::format("{:b}", value);
    default:
      return fmt::format("{}", value);
  }
}

std::string digits_of_real(double value, const Layout& layout) {
  const int precision = layout.precision < 0 ? 6 : layout.precision;
  switch (layout.type) {
    case 'e':
      return fmt::format("{:.{}e}", value, precision);
    case 'E':
      return fmt::format("{:.{}E}", value, precision);
    case 'f':
    case 'F':
      return fmt::format("{:.{}f}", value, precision);
    case 'g':
      return fmt::format("{:.{}g}", value, precision);
    case 'G':
      return fmt::format("{:.{}G}", value, precision);
    case '%':
      return fmt::format("{:.{}f}%", value * 100, precision);
    default:
      break;
  }
  return layout.precision < 0 ? float_text(value) : fmt::format("{:.{}g}", value, precision);
}

// The digits before the point in groups of three.
std::string grouped(const std::string& digits, char group) {
  if (group == '\0') return digits;
  const size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out += group;
    out += digits[i];
  }
  return out + digits.substr(whole);
}

bool wants_real(char type) {
  return std::string_view("eEfFgG%").find(type) != std::string_view::npos;
}

}  // namespace

MarkedText laid_out_text(const MarkedText& text, const Layout& layout, Budget& budget) {
  const size_t size = count_characters(text.bytes);
  const size_t room = std::max(layout.width, size) - size;
  std::string fill;
  append_utf8(layout.fill, fill);
  const size_t left = layout.align == '>' ? room : layout.align == '^' ? room / 2 : 0;
  return padded(text, left, room - left, marked(fill, layout.trusted), budget);
}

MarkedText laid_out_number(const Value& number, const Layout& layout, Budget& budget) {
  if (!number.is_number()) refuse("a number is wanted, not '{}'", number.type_name());
  if (layout.precision > kMaxPrecision) {
    refuse("precision {}, at most {}", layout.precision, kMaxPrecision);
  }
  const bool real = number.is_float() || wants_real(layout.type);
  const bool whole_type = std::string_view("xXobdc").find(layout.type) != std::string_view::npos;
  if (number.is_float() && layout.type != '\0' && whole_type)
    refuse("an integer is wanted, not 'float'");
  const int64_t whole = number.is_int() ? number.as_int() : number.is_bool() && number.as_bool();
  const double value = number.is_float() ? number.as_float() : static_cast<double>(whole);
  const bool negative = real ? std::signbit(value) : whole < 0;
  const uint64_t magnitude =
      whole < 0 ? -static_cast<uint64_t>(whole) : static_cast<uint64_t>(whole);
  const std::string digits =
      grouped(real ? digits_of_real(std::abs(value), layout) : digits_of_whole(magnitude, layout),
              layout.group);
  std::string sign;
  if (negative) {
    sign = "-";
  } else if (layout.sign != '-') {
    sign = layout.sign;
  }
  if (layout.align == '=') {
    Layout rest = layout;
    rest.align = '>';
    rest.width = layout.width - std::min(layout.width, sign.size());
    MarkedText out = marked(sign, true);
    append(out, laid_out_text(marked(digits, true), rest, budget));
    return out;
  }
  Layout right = layout;
  if (right.align == '\0') right.align = '>';
  return laid_out_text(marked(sign + digits, true), right, budget);
}

}  // namespace st::jinja
