#include "text/utf8.h"

namespace st {
namespace {

// What a first byte promises: the length of the sequence and the range of its second byte, which is
// where overlong forms, surrogates and code points past U+10FFFF are told apart (Unicode, table
// 3-7).
struct Lead {
  uint8_t length, low, high;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2 || byte > 0xF4) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {4, 0x80, 0xBF};
}

}  // namespace

Utf8Step utf8_step(std::string_view text) {
  const Lead lead = lead_of(static_cast<uint8_t>(text[0]));
  if (lead.length == 0) return {Utf8Step::kInvalid, 1};
  uint8_t low = lead.low, high = lead.high;
  for (uint8_t i = 1; i < lead.length; ++i) {
    if (i == text.size()) return {Utf8Step::kIncomplete, i};
    const auto byte = static_cast<uint8_t>(text[i]);
    if (byte < low || byte > high) return {Utf8Step::kInvalid, i};
    low = 0x80, high = 0xBF;
  }
  return {Utf8Step::kCharacter, lead.length};
}

size_t valid_utf8_prefix(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    if (static_cast<uint8_t>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    const Utf8Step step = utf8_step(text.substr(i));
    if (step.kind != Utf8Step::kCharacter) break;
    i += step.length;
  }
  return i;
}

std::string well_formed(std::string_view text) {
  std::string out;
  while (true) {
    const size_t valid = valid_utf8_prefix(text);
    out += text.substr(0, valid);
    text.remove_prefix(valid);
    if (text.empty()) return out;
    append_utf8(0xFFFD, out);
    text.remove_prefix(utf8_step(text).length);
  }
}

char32_t decode_utf8(std::string_view character) {
  const auto first = static_cast<uint8_t>(character[0]);
  if (character.size() == 1) return first;
  char32_t code_point = first & (0x7Fu >> character.size());
  for (const char c : character.substr(1)) {
    code_point = code_point << 6 | (static_cast<uint8_t>(c) & 0x3Fu);
  }
  return code_point;
}

void append_utf8(char32_t code_point, std::string& out) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  const auto tail = [&](int shift) { put(0x80 | (code_point >> shift & 0x3F)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6), tail(0);
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12), tail(6), tail(0);
  } else {
    put(0xF0 | code_point >> 18), tail(12), tail(6), tail(0);
  }
}

}  // namespace st
