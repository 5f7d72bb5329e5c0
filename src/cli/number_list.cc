#include "cli/number_list.h"

#include <charconv>

#include "base/error.h"

namespace st {
namespace {

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

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

// The part of a list between two commas: N, FIRST-LAST, FIRST-LAST+STEP or FIRST-LAST*FACTOR.
bool append_part(std::string_view part, NumberRange range, std::vector<int64_t>& numbers) {
  int64_t first = 0;
  if (!take_number(part, range, first)) return false;
  int64_t last = first;
  int64_t step = 1;
  int64_t factor = 1;
  if (take(part, '-')) {
    if (!take_number(part, range, last)) return false;
    if (take(part, '+')) {
      if (!take_number(part, {1, INT32_MAX}, step)) return false;
    } else if (take(part, '*')) {
      if (first < 1 || !take_number(part, {2, INT32_MAX}, factor)) return false;
      step = 0;
    }
  }
  if (!part.empty() || last < first) return false;
  for (int64_t n = first; n <= last; n = n * factor + step) {
    numbers.push_back(n);
    if (numbers.size() > kMaxNumbers) return false;
  }
  return true;
}

}  // namespace

std::vector<int64_t> parse_number_list(std::string_view text, NumberRange range) {
  std::vector<int64_t> numbers;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (!append_part(text.substr(begin, end - begin), range, numbers)) {
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
