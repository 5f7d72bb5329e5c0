#include "jinja/number_text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace st::jinja {
namespace {

constexpr std::string_view kDigits = "0123456789";

// The longest beginning of `text` that is digits.
size_t digits_at(std::string_view text) {
  return std::min(text.find_first_not_of(kDigits), text.size());
}

}  // namespace

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::abs(value),
                                 std::chars_format::scientific)
                       .ptr;
  const std::string_view text(buffer.data(), static_cast<size_t>(end - buffer.data()));
  const size_t e = text.find('e');
  const bool plus = text[e + 1] == '+';
  int exponent = 0;
  std::from_chars(text.data() + e + 1 + plus, text.data() + text.size(), exponent);
  std::string digits(text.substr(0, 1));
  if (e > 2) digits += text.substr(2, e - 2);  // behind the point

  const std::string sign = std::signbit(value) ? "-" : "";
  const auto count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    if (count > 1) digits.insert(1, ".");
    return fmt::format("{}{}e{}{:02}", sign, digits, exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) {
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  }
  if (exponent + 1 >= count) {
    return sign + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  }
  digits.insert(static_cast<size_t>(exponent + 1), ".");
  return sign + digits;
}

std::optional<double> parse_float(std::string_view text) {
  std::string_view rest = text;
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) rest.remove_prefix(1);
  std::string name;
  for (const char c : rest.substr(0, 9)) name += static_cast<char>(c | 0x20);
  const bool word = name == "inf" || name == "infinity" || name == "nan";
  if (!word) {
    const size_t whole = digits_at(rest);
    rest.remove_prefix(whole);
    size_t fraction = 0;
    if (rest.starts_with('.')) {
      fraction = digits_at(rest.substr(1));
      rest.remove_prefix(1 + fraction);
    }
    if (whole + fraction == 0) return std::nullopt;
    if (!rest.empty() && (rest[0] | 0x20) == 'e') {
      rest.remove_prefix(1);
      if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) rest.remove_prefix(1);
      const size_t power = digits_at(rest);
      if (power == 0) return std::nullopt;
      rest.remove_prefix(power);
    }
    if (!rest.empty()) return std::nullopt;
  }
  return std::strtod(std::string(text).c_str(), nullptr);
}

}  // namespace st::jinja
