// UTF-8 and the characters of the C library, which libedit works with.
#pragma once

#include <string>
#include <string_view>

namespace st {

// Bytes that are no UTF-8 become U+FFFD.
std::wstring widen(std::string_view text);
std::string narrow(std::wstring_view text);

// Columns that a character takes on a terminal: 0 of what combines with the one before, 2 of
// Chinese, Japanese and Korean ones and of emoji.
int columns_of(char32_t character);

// The first character of `text` and its bytes: U+FFFD and 1 where it is no UTF-8. REQUIRES: not
// empty.
struct FirstCharacter {
  char32_t character;
  size_t bytes;
};
FirstCharacter first_character(std::string_view text);

}  // namespace st
