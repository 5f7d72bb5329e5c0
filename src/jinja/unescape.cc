// The escapes of string literals: Python's.
#include <algorithm>

#include "jinja/lexer.h"
#include "jinja/refuse.h"
#include "text/utf8.h"

namespace st::jinja {
namespace {

constexpr size_t npos = std::string_view::npos;

// The value of `size` digits of `base` that `text` begins with.
char32_t number_at(std::string_view text, size_t size, uint32_t base) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  uint32_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    const size_t digit = i < text.size() ? kDigits.find(static_cast<char>(text[i] | 0x20)) : npos;
    if (digit >= base) refuse("a string with an escape that is cut short");
    value = value * base + static_cast<uint32_t>(digit);
  }
  return value;
}

size_t octal_digits(std::string_view text) {
  return std::min<size_t>({3, text.size(), text.find_first_not_of("01234567")});
}

void append_code_point(char32_t code, std::string& out) {
  if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
    refuse("a string with an escape that is no character");
  }
  append_utf8(code, out);
}

}  // namespace

std::string unescape(std::string_view literal) {
  constexpr std::string_view kNames = "\\'\"abfnrtv", kValues = "\\'\"\a\b\f\n\r\t\v";
  std::string out;
  for (size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] != '\\' || i + 1 == literal.size()) {
      out += literal[i];
      continue;
    }
    const char c = literal[++i];
    const std::string_view behind = literal.substr(i + 1);
    if (const size_t simple = kNames.find(c); simple != npos) {
      out += kValues[simple];
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const size_t size = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      append_code_point(number_at(behind, size, 16), out);
      i += size;
    } else if (const size_t octal = octal_digits(literal.substr(i)); octal > 0) {
      append_code_point(number_at(literal.substr(i), octal, 8), out);
      i += octal - 1;
    } else if (c == 'N') {
      refuse("a string with \\N, which is not supported");
    } else if (c != '\n') {
      out += '\\';
      out += c;
    }
  }
  return out;
}

}  // namespace st::jinja
