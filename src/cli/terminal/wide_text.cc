#include "cli/terminal/wide_text.h"

#include <utf8proc.h>

namespace st {

FirstCharacter first_character(std::string_view text) {
  utf8proc_int32_t character = 0;
  const utf8proc_ssize_t bytes =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                       static_cast<utf8proc_ssize_t>(text.size()), &character);
  if (bytes <= 0) return {0xFFFD, 1};
  return {static_cast<char32_t>(character), static_cast<size_t>(bytes)};
}

std::wstring widen(std::string_view text) {
  static_assert(sizeof(wchar_t) == sizeof(char32_t));
  std::wstring out;
  while (!text.empty()) {
    const auto [character, bytes] = first_character(text);
    out += static_cast<wchar_t>(character);
    text.remove_prefix(bytes);
  }
  return out;
}

std::string narrow(std::wstring_view text) {
  std::string out;
  for (const wchar_t character : text) {
    utf8proc_uint8_t bytes[4];
    const utf8proc_ssize_t n = utf8proc_encode_char(static_cast<int32_t>(character), bytes);
    out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(n));
  }
  return out;
}

int columns_of(char32_t character) {
  return utf8proc_charwidth(static_cast<utf8proc_int32_t>(character));
}

}  // namespace st
