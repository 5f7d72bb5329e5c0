#include "base/units.h"

#include <charconv>
#include <string>

namespace st {

std::optional<uint64_t> parse_bytes(std::string_view text) {
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || !(value >= 0)) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  while (text.starts_with(' ')) text.remove_prefix(1);
  std::string unit;
  for (const char c : text) unit += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  constexpr std::string_view kPowers = "kmgt";
  if (const size_t power = unit.empty() ? kPowers.npos : kPowers.find(unit[0]);
      power != kPowers.npos) {
    for (size_t i = 0; i <= power; ++i) value *= 1024;
    unit.erase(0, 1);
    if (unit == "ib") unit = "b";
  }
  if (!(unit.empty() || unit == "b") || value > 0x1p63) return std::nullopt;
  return static_cast<uint64_t>(value);
}

}  // namespace st
