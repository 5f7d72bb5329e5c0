// The characters of a string: code points, which is what Python counts. A byte that belongs to none
// counts as one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "text/marked_text.h"

namespace st::jinja {

struct Character {
  char32_t code;  // U+FFFD if the bytes are no UTF-8
  size_t size;    // bytes
};

// REQUIRES: `at` < text.size().
Character character_at(std::string_view text, size_t at);

size_t count_characters(std::string_view text);
// Bytes of the first `count` characters, or all.
size_t bytes_of_characters(std::string_view text, size_t count);
std::vector<MarkedText> split_characters(const MarkedText& text);

// str.isspace() and what str.splitlines() splits at.
bool is_space(char32_t code);
bool is_line_end(char32_t code);
// Bytes of white space at both ends; all of it counts as the left one.
size_t spaces_on_left(std::string_view text);
size_t spaces_on_right(std::string_view text);

// What repr() prints as it is.
bool is_printable(char32_t code);
bool is_letter(char32_t code);
bool is_decimal(char32_t code);  // a digit of the decimal system
bool is_numeric(char32_t code);  // any number
bool is_upper(char32_t code);
bool is_lower(char32_t code);
bool is_title(char32_t code);

enum class Case { kLower, kUpper, kTitle };
// Appends `code` in another case, which may be several characters.
void append_in_case(char32_t code, Case wanted, std::string& out);
// str.isupper() or str.islower(): all letters that have a case have this one, and there are some.
bool is_in_case(std::string_view text, bool upper);

}  // namespace st::jinja
