// UTF-8 as it comes: well-formed or not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace st {

struct Utf8Step {
  enum Kind : uint8_t {
    kCharacter,   // a well-formed sequence
    kInvalid,     // the longest start of a sequence that cannot go on like this; at least one byte
    kIncomplete,  // the text ends inside what may still become a character
  };
  Kind kind;
  uint8_t length;  // bytes, 1 to 4
};

// What `text` begins with. REQUIRES: text is not empty.
Utf8Step utf8_step(std::string_view text);

// Bytes of the longest well-formed beginning of `text`.
size_t valid_utf8_prefix(std::string_view text);

// The code point of one well-formed character.
char32_t decode_utf8(std::string_view character);

// `text` with U+FFFD in place of what is not well-formed.
std::string well_formed(std::string_view text);

void append_utf8(char32_t code_point, std::string& out);

}  // namespace st
