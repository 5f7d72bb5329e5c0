#include "base/units.h"

#include <algorithm>
#include <ranges>
#include <string>

namespace st {
namespace {

std::string_view take_digits(std::string_view& text) {
  const size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view digits = text.substr(0, end);
  text.remove_prefix(end);
  return digits;
}

uint64_t value_of(char digit) { return static_cast<uint64_t>(digit - '0'); }

// Bytes of "", "B", "K", "Ki", "KB", "KiB" and so on.
std::optional<uint64_t> unit_of(std::string_view text) {
  std::string unit;
  for (const char c : text) unit += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  uint64_t bytes = 1;
  constexpr std::string_view kPowers = "kmgt";
  if (const size_t power = unit.empty() ? kPowers.npos : kPowers.find(unit[0]);
      power != kPowers.npos) {
    bytes <<= 10 * (power + 1);
    unit.erase(0, unit.starts_with(std::string{unit[0], 'i'}) ? 2 : 1);
  }
  if (!unit.empty() && unit != "b") return std::nullopt;
  return bytes;
}

}  // namespace

// Whole numbers all the way: not every standard library reads fractions (std::from_chars), and what
// does (strtod) asks the locale.
std::optional<uint64_t> parse_bytes(std::string_view text) {
  constexpr uint64_t kMost = uint64_t{1} << 63;
  const std::string_view whole = take_digits(text);
  std::string_view fraction;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    fraction = take_digits(text);
  }
  if (whole.empty() && fraction.empty()) return std::nullopt;
  while (text.starts_with(' ')) text.remove_prefix(1);
  const std::optional<uint64_t> unit = unit_of(text);
  if (!unit) return std::nullopt;

  uint64_t units = 0;
  for (const char c : whole) {
    if (units > kMost / 10) return std::nullopt;
    units = units * 10 + value_of(c);
  }
  if (units > kMost / *unit) return std::nullopt;
  uint64_t rest = 0;  // rounded down at each digit, and so at the end
  for (const char c : fraction | std::views::reverse) rest = (value_of(c) * *unit + rest) / 10;
  const uint64_t bytes = units * *unit + rest;
  return bytes <= kMost ? std::optional(bytes) : std::nullopt;
}

}  // namespace st
