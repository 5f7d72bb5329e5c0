#include "hub/http.h"

#include <algorithm>

#include "base/system_file.h"

namespace st {
namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? c | 32 : c; });
  return out;
}

// "bytes 100-199/1000", or "bytes */1000".
void read_range(std::string_view value, HttpHead& head) {
  constexpr std::string_view kUnit = "bytes ";
  const size_t slash = value.find('/');
  if (!value.starts_with(kUnit) || slash == value.npos) return;
  const std::string_view range = value.substr(kUnit.size(), slash - kUnit.size());
  head.begin = parse_unsigned(range.substr(0, range.find('-')));
  head.total = parse_unsigned(value.substr(slash + 1));
}

// <https://...>; rel="next", among others.
void read_link(std::string_view value, HttpHead& head) {
  while (!value.empty()) {
    const size_t begin = value.find('<');
    const size_t end = value.find('>', begin);
    if (begin == value.npos || end == value.npos) return;
    const std::string_view url = value.substr(begin + 1, end - begin - 1);
    value.remove_prefix(end + 1);
    const std::string_view parameters = value.substr(0, value.find('<'));
    if (parameters.find("rel=\"next\"") != parameters.npos) head.next = url;
  }
}

}  // namespace

void read_header(std::string_view line, HttpHead& head) {
  const size_t colon = line.find(':');
  if (colon == line.npos) return;
  const std::string name = lower(line.substr(0, colon));
  const std::string_view value = trim(line.substr(colon + 1));
  if (name == "content-length") {
    head.length = parse_unsigned(value);
  } else if (name == "content-range") {
    read_range(value, head);
  } else if (name == "retry-after") {
    head.retry_after = parse_unsigned(value).value_or(0);
  } else if (name == "link") {
    read_link(value, head);
  } else if (name == "x-error-message") {
    head.message = value;
  }
}

}  // namespace st
