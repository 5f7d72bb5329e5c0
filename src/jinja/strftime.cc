#include "jinja/strftime.h"

#include <fmt/format.h>

#include <array>

namespace st::jinja {
namespace {

constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};

int hour_of_twelve(const std::tm& time) { return (time.tm_hour + 11) % 12 + 1; }

// Weeks of the year so far, the first of which begins on weekday `first`.
int week(const std::tm& time, int first) {
  return (time.tm_yday + 7 - (time.tm_wday + 7 - first) % 7) / 7;
}

std::string conversion(char letter, const std::tm& t);

std::string each(std::string_view letters, const std::tm& time) {
  std::string out;
  for (const char c : letters) {
    const bool separator = c == ' ' || c == ':' || c == '/' || c == '-';
    out += separator ? std::string(1, c) : conversion(c, time);
  }
  return out;
}

std::string conversion(char letter, const std::tm& t) {
  const std::string_view day = kDays[static_cast<size_t>(t.tm_wday)];
  const std::string_view month = kMonths[static_cast<size_t>(t.tm_mon)];
  const auto two = [](int number) { return fmt::format("{:02}", number); };
  switch (letter) {
    case 'a':
      return std::string(day.substr(0, 3));
    case 'A':
      return std::string(day);
    case 'b':
    case 'h':
      return std::string(month.substr(0, 3));
    case 'B':
      return std::string(month);
    case 'c':
      return each("a b e H:M:S Y", t);
    case 'C':
      return two((t.tm_year + 1900) / 100);
    case 'd':
      return two(t.tm_mday);
    case 'D':
    case 'x':
      return each("m/d/y", t);
    case 'e':
      return fmt::format("{:2}", t.tm_mday);
    case 'f':
      return "000000";
    case 'F':
      return each("Y-m-d", t);
    case 'H':
      return two(t.tm_hour);
    case 'I':
      return two(hour_of_twelve(t));
    case 'j':
      return fmt::format("{:03}", t.tm_yday + 1);
    case 'k':
      return fmt::format("{:2}", t.tm_hour);
    case 'l':
      return fmt::format("{:2}", hour_of_twelve(t));
    case 'm':
      return two(t.tm_mon + 1);
    case 'M':
      return two(t.tm_min);
    case 'n':
      return "\n";
    case 'p':
      return t.tm_hour < 12 ? "AM" : "PM";
    case 'P':
      return t.tm_hour < 12 ? "am" : "pm";
    case 'r':
      return each("I:M:S p", t);
    case 'R':
      return each("H:M", t);
    case 'S':
      return two(t.tm_sec);
    case 't':
      return "\t";
    case 'T':
    case 'X':
      return each("H:M:S", t);
    case 'u':
      return fmt::format("{}", t.tm_wday == 0 ? 7 : t.tm_wday);
    case 'U':
      return two(week(t, 0));
    case 'w':
      return fmt::format("{}", t.tm_wday);
    case 'W':
      return two(week(t, 1));
    case 'y':
      return two((t.tm_year + 1900) % 100);
    case 'Y':
      return fmt::format("{}", t.tm_year + 1900);
    case 'z':
    case 'Z':
      return "";  // a time that knows no zone
    case '%':
      return "%";
    default:
      return fmt::format("%{}", letter);
  }
}

}  // namespace

std::string format_time(std::string_view format, const std::tm& time, Budget& budget) {
  const bool date = time.tm_wday >= 0 && time.tm_wday < 7 && time.tm_mon >= 0 && time.tm_mon < 12;
  if (!date) refuse("strftime_now: the time is no date");
  budget.bytes(format.size() * 16);
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out += format[i];
    } else if (format[i + 1] == '-' && i + 2 < format.size()) {  // without leading zeros
      const std::string padded = conversion(format[i + 2], time);
      const size_t digits = padded.find_first_not_of("0 ");
      out += digits == padded.npos ? padded.substr(0, 1) : padded.substr(digits);
      i += 2;
    } else {
      out += conversion(format[++i], time);
    }
  }
  return out;
}

}  // namespace st::jinja
