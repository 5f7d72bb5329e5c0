#include "text/byte_alphabet.h"

#include <array>

#include "text/utf8.h"

namespace st {
namespace {

constexpr char32_t kCharacters = 0x144;  // the alphabet ends at U+0143

constexpr bool is_printable(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
}

struct Alphabet {
  std::array<char32_t, 256> character{};       // by byte
  std::array<int16_t, kCharacters> byte_of{};  // by character; -1: none

  constexpr Alphabet() {
    byte_of.fill(-1);
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      character[byte] = is_printable(byte) ? byte : next++;
      byte_of[character[byte]] = static_cast<int16_t>(byte);
    }
  }
};

constexpr Alphabet kAlphabet;

}  // namespace

std::string byte_to_char(uint8_t byte) {
  std::string out;
  append_utf8(kAlphabet.character[byte], out);
  return out;
}

std::optional<std::string> alphabet_to_bytes(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    if (step.kind != Utf8Step::kCharacter) return std::nullopt;
    const char32_t c = decode_utf8(text.substr(0, step.length));
    if (c >= kCharacters || kAlphabet.byte_of[c] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kAlphabet.byte_of[c]));
    text.remove_prefix(step.length);
  }
  return bytes;
}

}  // namespace st
