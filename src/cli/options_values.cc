#include <charconv>
#include <cstdlib>

#include "base/units.h"
#include "cli/options_parts.h"

namespace st {
namespace {

std::optional<int64_t> parse_whole(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

size_t skip_digits(std::string_view& text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  text.remove_prefix(digits);
  return digits;
}

bool skip(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

// Digits, perhaps with a sign, a point and an exponent; strtod alone would take names, hexadecimal
// digits and what stands before rubbish. Too near zero is zero, too large an infinity.
std::optional<double> parse_decimal(const std::string& text) {
  std::string_view rest = text;
  skip(rest, '-');
  size_t digits = skip_digits(rest);
  if (skip(rest, '.')) digits += skip_digits(rest);
  if (digits == 0) return std::nullopt;
  if (skip(rest, 'e') || skip(rest, 'E')) {
    if (!skip(rest, '-')) skip(rest, '+');
    if (skip_digits(rest) == 0) return std::nullopt;
  }
  if (!rest.empty()) return std::nullopt;
  return std::strtod(text.c_str(), nullptr);
}

// Whether it is zero as it was written: strtod makes a zero of what is too near to it.
bool means_zero(std::string_view text) {
  return text.substr(0, text.find_first_of("eE")).find_first_of("123456789") == text.npos;
}

}  // namespace

std::string option_name(const std::string& names) {
  const size_t begin = names.find("--");
  if (begin == std::string::npos) return names.substr(0, names.find(','));
  return names.substr(begin, names.find(',', begin) - begin);
}

void refuse_value(const std::string& names, const std::string& text, const std::string& wrong) {
  throw CLI::ValidationError(option_name(names), fmt::format("'{}': {}", printable(text), wrong));
}

CLI::Option* add_whole(CLI::App& app, const std::string& names, const std::string& help,
                       int64_t min, int64_t max, std::function<void(int64_t)> store) {
  const std::string range = fmt::format("{}..{}", min, max);
  return add_checked(app, names, help,
                     [=, store = std::move(store)](const std::string& text) -> std::string {
                       const auto value = parse_whole(text);
                       if (!value || *value < min || *value > max) {
                         return "want a whole number in " + range;
                       }
                       store(*value);
                       return {};
                     })
      ->type_name("N[" + range + "]");
}

CLI::Option* add_decimal(CLI::App& app, const std::string& names, const std::string& help,
                         double min, double max, double least, std::function<void(double)> store) {
  const std::string range = fmt::format("{}..{}", min, max);
  return add_checked(app, names, help,
                     [=, store = std::move(store)](const std::string& text) -> std::string {
                       const auto value = parse_decimal(text);
                       if (!value || !(*value >= min && *value <= max)) {
                         return "want a number in " + range;
                       }
                       if (!means_zero(text) && std::fabs(*value) < least) {
                         return "is too near 0 to be told from it; want a number in " + range;
                       }
                       store(*value);
                       return {};
                     })
      ->type_name("X[" + range + "]");
}

std::string read_size(const std::string& text, uint64_t& bytes) {
  constexpr uint64_t kNobodyMeans = uint64_t{1} << 20;  // so few bytes
  const auto size = parse_bytes(text);
  if (!size || *size == 0) return "want a size such as 512MiB or 8G";
  if (text.find_first_not_of("0123456789. ") == std::string::npos && *size < kNobodyMeans) {
    return fmt::format("the unit is missing: want a size such as {0}MiB or {0}GiB", text);
  }
  bytes = *size;
  return {};
}

CLI::Option* add_threads(CLI::App& app, const std::string& names, int& threads) {
  return add_whole(app, names, kThreadsHelp, -1, 1024, [&threads](int64_t number) {
    threads = static_cast<int>(std::max<int64_t>(number, 0));
  });
}

}  // namespace st
