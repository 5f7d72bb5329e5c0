#include "text/nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "text/utf8.h"

namespace st {
namespace {

constexpr auto kOptions = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);

using Points = std::vector<utf8proc_int32_t>;

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

// Every character below U+0300, the first combining mark, is its own NFC and combines with nothing
// below it. U+0300 and all later ones begin with a byte of at least 0xCC.
bool cannot_change(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0xCC; });
}

void decompose(std::string_view text, Points& points) {
  points.clear();
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_step(text.substr(i)).length;
    const auto code_point = static_cast<utf8proc_int32_t>(decode_utf8(text.substr(i, length)));
    utf8proc_int32_t parts[8];  // canonical decompositions have at most 4
    const auto count = utf8proc_decompose_char(code_point, parts, 8, kOptions, nullptr);
    points.insert(points.end(), parts, parts + std::clamp<utf8proc_ssize_t>(count, 0, 8));
    i += length;
  }
}

uint64_t class_of(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

// Canonical order: marks between two starters by combining class, equal ones as they came. The
// library's own sort is quadratic.
void reorder(Points& points) {
  const auto is_starter = [](utf8proc_int32_t c) { return class_of(c) == 0; };
  std::vector<uint64_t> keys;  // class: 8 bits, place: 35 bits, code point: 21 bits
  for (auto begin = points.begin(); begin != points.end();) {
    begin = std::find_if_not(begin, points.end(), is_starter);
    const auto end = std::find_if(begin, points.end(), is_starter);
    if (end - begin > 1) {
      keys.clear();
      for (auto it = begin; it != end; ++it) {
        keys.push_back(class_of(*it) << 56 | static_cast<uint64_t>(it - begin) << 21 |
                       static_cast<uint64_t>(*it));
      }
      std::ranges::sort(keys);
      std::ranges::transform(
          keys, begin, [](uint64_t key) { return static_cast<utf8proc_int32_t>(key & 0x1FFFFF); });
    }
    begin = end;
  }
}

}  // namespace

std::string_view nfc(std::string_view text, std::string& buffer) {
  if (cannot_change(text)) return text;
  buffer.clear();
  Points points;
  for (size_t i = 0; i < text.size();) {
    // ASCII never joins what stands before it, so a run of other characters, together with the one
    // ASCII character that marks may attach to, is normalised on its own.
    size_t begin = i;
    while (begin < text.size() && is_ascii(text[begin])) ++begin;
    size_t end = begin;
    while (end < text.size() && !is_ascii(text[end])) ++end;
    if (end > begin && begin > i) --begin;
    buffer.append(text, i, begin - i);

    decompose(text.substr(begin, end - begin), points);
    reorder(points);
    const auto count = utf8proc_normalize_utf32(
        points.data(), static_cast<utf8proc_ssize_t>(points.size()), kOptions);
    for (utf8proc_ssize_t k = 0; k < count; ++k) {
      append_utf8(static_cast<char32_t>(points[static_cast<size_t>(k)]), buffer);
    }
    i = end;
  }
  return buffer;
}

}  // namespace st
