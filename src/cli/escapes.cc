#include "cli/escapes.h"

#include <charconv>

namespace st {

std::string process_escapes(std::string_view text) {
  constexpr std::string_view kLetters = "nrt'\"\\";
  constexpr std::string_view kMeanings = "\n\r\t'\"\\";
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char next = text[i + 1];
    if (const size_t known = kLetters.find(next); known != std::string_view::npos) {
      out += kMeanings[known];
      ++i;
      continue;
    }
    unsigned value = 0;
    const char* digits = text.data() + i + 2;
    if (next == 'x' && i + 3 < text.size() &&
        std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2) {
      out += static_cast<char>(value);
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace st
