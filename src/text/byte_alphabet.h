// GPT-2's alphabet: every byte written as one printable character, so that vocabularies of bytes
// can be stored as text. Printable Latin-1 stands for itself, the other 68 bytes are U+0100
// onwards.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace st {

std::string byte_to_char(uint8_t byte);

// The bytes that `text` stands for; none if some character is not of the alphabet.
std::optional<std::string> alphabet_to_bytes(std::string_view text);

}  // namespace st
