#include "text/text_border.h"

#include <algorithm>
#include <cstdint>

#include "text/utf8.h"

namespace st {
namespace {

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_ascii_graph(char c) { return c > ' ' && c < 0x7F; }

// Letters in every version of Unicode: no other character of their ranges.
bool is_letter(char32_t c) {
  struct Range {
    char32_t first, last;
  };
  constexpr Range kLetters[] = {{0xC0, 0xD6},     {0xD8, 0xF6},     {0xF8, 0x24F},
                                {0x410, 0x44F},   {0x3041, 0x3096}, {0x30A1, 0x30FA},
                                {0x4E00, 0x9FA5}, {0xAC00, 0xD7A3}};
  return std::ranges::any_of(kLetters, [&](Range r) { return c >= r.first && c <= r.last; });
}

// Punctuation of East Asia that stands behind a word.
bool is_wide_stop(std::string_view text) {
  constexpr std::string_view kStops[] = {"\u3001", "\u3002", "\uFF0C"};
  return std::ranges::any_of(kStops, [&](std::string_view stop) { return text.starts_with(stop); });
}

bool ends_with_letter(std::string_view text) {
  if (is_ascii(text.back())) return is_ascii_letter(text.back());
  for (size_t n = 2; n <= std::min<size_t>(3, text.size()); ++n) {
    const std::string_view last = text.substr(text.size() - n);
    const Utf8Step step = utf8_step(last);
    if (step.kind == Utf8Step::kCharacter && step.length == n) return is_letter(decode_utf8(last));
  }
  return false;
}

// No alternative of the pattern takes a letter and then anything but a letter, or a number and then
// anything; and those that take a line feed take only line feeds behind it.
bool is_border(std::string_view text, size_t at) {
  const char before = text[at - 1], after = text[at];
  if (is_ascii(after)) {
    if (is_digit(before)) return true;
    if (before == '\n') return is_ascii_graph(after);
    return !is_ascii_letter(after) && ends_with_letter(text.substr(0, at));
  }
  return is_wide_stop(text.substr(at)) && ends_with_letter(text.substr(0, at));
}

}  // namespace

size_t last_border(std::string_view text, size_t most) {
  size_t at = std::min(most, text.empty() ? 0 : text.size() - 1);
  while (at > 0 && !is_border(text, at)) --at;
  return at;
}

}  // namespace st
