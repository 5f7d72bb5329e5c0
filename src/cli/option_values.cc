#include "cli/option_values.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/units.h"
#include "engine/lookup_drafter.h"

namespace st {
namespace {

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

size_t take_digits(std::string_view& text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  text.remove_prefix(digits);
  return digits;
}

// Digits, perhaps with a sign, a point and an exponent; strtod alone would take names, hexadecimal
// digits and what stands before rubbish. Too near zero is zero, too large an infinity.
std::optional<double> parse_decimal(const std::string& text) {
  std::string_view rest = text;
  take(rest, '-');
  size_t digits = take_digits(rest);
  if (take(rest, '.')) digits += take_digits(rest);
  if (digits == 0) return std::nullopt;
  if (take(rest, 'e') || take(rest, 'E')) {
    if (!take(rest, '-')) take(rest, '+');
    if (take_digits(rest) == 0) return std::nullopt;
  }
  if (!rest.empty()) return std::nullopt;
  return std::strtod(text.c_str(), nullptr);
}

// Whether it is zero as it was written: strtod makes a zero of what is too near to it.
bool means_zero(std::string_view text) {
  return text.substr(0, text.find_first_of("eE")).find_first_of("123456789") == text.npos;
}

constexpr size_t kMaxNumbers = 1000;

[[noreturn]] void refuse(std::string_view text, NumberRange range, const char* want) {
  fail(ErrorCode::kInvalidUsage, "\"{}\": want {}, each {}..{}", printable(text), want, range.min,
       range.max);
}

// Reads one number off the front of `text`.
bool take_number(std::string_view& text, NumberRange range, int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < range.min || value > range.max) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

// What stands between two commas of a list: N, FIRST-LAST, FIRST-LAST+STEP or FIRST-LAST*FACTOR.
bool append_range(std::string_view text, NumberRange range, std::vector<int64_t>& numbers) {
  int64_t first = 0;
  if (!take_number(text, range, first)) return false;
  int64_t last = first;
  int64_t step = 1;
  int64_t factor = 1;
  if (take(text, '-')) {
    if (!take_number(text, range, last)) return false;
    if (take(text, '+')) {
      if (!take_number(text, {1, INT32_MAX}, step)) return false;
    } else if (take(text, '*')) {
      if (first < 1 || !take_number(text, {2, INT32_MAX}, factor)) return false;
      step = 0;
    }
  }
  if (!text.empty() || last < first) return false;
  for (int64_t n = first; n <= last; n = n * factor + step) {
    numbers.push_back(n);
    if (numbers.size() > kMaxNumbers) return false;
  }
  return true;
}

}  // namespace

std::string read_whole(std::string_view text, NumberRange range, int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (whole && value >= range.min && value <= range.max) return {};
  return fmt::format("want a whole number in {}..{}", range.min, range.max);
}

std::string read_decimal(const std::string& text, double min, double max, double least,
                         double& value) {
  const auto number = parse_decimal(text);
  if (!number || !(*number >= min && *number <= max)) {
    return fmt::format("want a number in {}..{}", min, max);
  }
  if (!means_zero(text) && std::fabs(*number) < least) {
    return fmt::format("is too near 0 to be told from it; want a number in {}..{}", min, max);
  }
  value = *number;
  return {};
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

std::string read_sizes(const std::string& text, std::vector<uint64_t>& sizes) {
  sizes.clear();
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string wrong = read_size(text.substr(begin, end - begin), sizes.emplace_back());
    if (!wrong.empty()) return wrong;
    begin = end + 1;
  }
  return {};
}

std::string read_time(const std::string& text, std::tm& time) {
  std::tm read{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &read);
  if (end == nullptr) end = ::strptime(text.c_str(), "%Y-%m-%d %H:%M:%S", &read);
  time = read;
  // Also tells the days of week and year; makes another date of one that is none.
  const bool real = end == text.c_str() + text.size() && ::timegm(&time) != -1;
  if (!real || time.tm_mday != read.tm_mday || time.tm_sec != read.tm_sec) {
    return "want a date and time such as 2026-11-05T07:08:09";
  }
  return {};
}

std::string read_cache_budget(const std::string& text, std::vector<CacheBudget>& budgets) {
  CacheBudget budget;
  if (text.ends_with('%')) {
    const std::string_view digits = std::string_view(text).substr(0, text.size() - 1);
    int percent = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), percent);
    if (error != std::errc() || end != digits.data() + digits.size() || percent < 1 ||
        percent > 100) {
      return "want 1% to 100% of all experts";
    }
    budget.share = percent / 100.0;
  } else {
    const std::string wrong = read_size(text, budget.bytes);
    if (!wrong.empty()) return wrong + ", or a share of all experts such as 30%";
  }
  budgets.push_back(budget);
  return {};
}

std::string read_spec(std::string_view text, std::shared_ptr<Drafter>& drafter) {
  if (text != "auto" && text != "off") return "want auto or off";
  drafter = text == "auto" ? std::make_shared<LookupDrafter>() : nullptr;
  return {};
}

std::string read_memory_change(const std::string& text, std::vector<MemoryChange>& changes) {
  const size_t colon = text.find(':');
  MemoryChange change;
  const char* end = text.data() + std::min(colon, text.size());
  const auto [rest, error] = std::from_chars(text.data(), end, change.tokens);
  if (colon == std::string::npos || error != std::errc() || rest != end || change.tokens < 1) {
    return "want TOKENS:SIZE, such as 64:700MiB";
  }
  if (const std::string wrong = read_size(text.substr(colon + 1), change.bytes); !wrong.empty()) {
    return wrong;
  }
  if (!changes.empty() && changes.back().tokens >= change.tokens) return "want ascending tokens";
  changes.push_back(change);
  return {};
}

std::vector<int64_t> parse_number_list(std::string_view text, NumberRange range) {
  std::vector<int64_t> numbers;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (!append_range(text.substr(begin, end - begin), range, numbers)) {
      refuse(text, range, "numbers like 1,2,8 or 1-4");
    }
    begin = end + 1;
  }
  return numbers;
}

std::pair<int64_t, int64_t> parse_number_pair(std::string_view text, NumberRange range) {
  std::pair<int64_t, int64_t> pair;
  std::string_view rest = text;
  if (!take_number(rest, range, pair.first) || !take(rest, ',') ||
      !take_number(rest, range, pair.second) || !rest.empty()) {
    refuse(text, range, "two numbers like 512,128");
  }
  return pair;
}

}  // namespace st
