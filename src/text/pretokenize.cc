#include "text/pretokenize.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <string>
#include <vector>

#include "base/error.h"
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

namespace {

// kQwen2Pattern with \s and \S spelled out as Unicode's White_Space, which is what Oniguruma, the
// engine of Hugging Face's tokenizers, takes them for. PCRE2's own \s has U+180E in addition.
std::string qwen2_pattern() {
  const std::string space =
      R"(\t-\r\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
  return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^)" + space +
         R"(\p{L}\p{N}]+[\r\n]*|[)" + space + R"(]*[\r\n]+|[)" + space + R"(]+(?![^)" + space +
         R"(])|[)" + space + "]+";
}

}  // namespace

void Pretokenizer::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }
void Pretokenizer::Scanner::Free::operator()(pcre2_real_match_data_8* data) const {
  pcre2_match_data_free(data);
}
void Pretokenizer::Scanner::Free::operator()(pcre2_real_match_context_8* context) const {
  pcre2_match_context_free(context);
}

Pretokenizer::Pretokenizer(std::string_view name, bool jit) {
  if (name != "qwen2") {
    fail(ErrorCode::kUnsupported, "pre-tokenizer '{}': only 'qwen2' is supported", printable(name));
  }
  const std::string pattern = qwen2_pattern();
  int error = 0;
  size_t offset = 0;
  code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                            PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &offset, nullptr));
  if (code_ == nullptr) {
    fail(ErrorCode::kUnsupported, "this PCRE2 has no Unicode support (error {} at {})", error,
         offset);
  }
  if (jit) pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // on failure: interpreted
}

Pretokenizer::Scanner::Scanner(const Pretokenizer& pretokenizer)
    : code_(pretokenizer.code_.get()),
      data_(pcre2_match_data_create(1, nullptr)),
      context_(pcre2_match_context_create(nullptr)) {
  if (data_ == nullptr || context_ == nullptr) throw std::bad_alloc();
  // The default limit would refuse long runs of spaces, which this pattern scans in linear time.
  pcre2_set_match_limit(context_.get(), UINT32_MAX);
}

size_t Pretokenizer::Scanner::piece_end(std::string_view text, size_t begin) {
  const auto match = [&](uint32_t options) {
    return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), begin,
                       PCRE2_NO_UTF_CHECK | options, data_.get(), context_.get());
  };
  int result = match(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
  const size_t end = result > 0 ? pcre2_get_ovector_pointer(data_.get())[1] : begin;
  // Some alternative of the pattern takes every character, so this is a lack of memory.
  if (end <= begin) fail(ErrorCode::kOutOfMemory, "pre-tokenizer: match error {}", result);
  return end;
}

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_ascii_graph(char c) { return c > ' ' && c < 0x7F; }

// Letters in every version of Unicode: no other character of their ranges.
bool is_letter(char32_t c) {
  struct Range {
    char32_t first, last;
  };
  constexpr Range kLetters[] = {{0xC0, 0xD6},     {0xD8, 0xF6},     {0xF8, 0x24F},
                                {0x410, 0x44F},   {0x3041, 0x3096}, {0x30A1, 0x30FA},
                                {0x4E00, 0x9FA5}, {0xAC00, 0xD7A3}};
  return std::ranges::any_of(kLetters, [&](Range r) { return c >= r.first && c <= r.last; });
}

// Punctuation of East Asia that stands behind a word.
bool is_wide_stop(std::string_view text) {
  constexpr std::string_view kStops[] = {"\u3001", "\u3002", "\uFF0C"};
  return std::ranges::any_of(kStops, [&](std::string_view stop) { return text.starts_with(stop); });
}

bool ends_with_letter(std::string_view text) {
  if (is_ascii(text.back())) return is_ascii_letter(text.back());
  for (size_t n = 2; n <= std::min<size_t>(3, text.size()); ++n) {
    const std::string_view last = text.substr(text.size() - n);
    const Utf8Step step = utf8_step(last);
    if (step.kind == Utf8Step::kCharacter && step.length == n) return is_letter(decode_utf8(last));
  }
  return false;
}

// No alternative of the pattern takes a letter and then anything but a letter, or a number and then
// anything; and those that take a line feed take only line feeds behind it.
bool is_border(std::string_view text, size_t at) {
  const char before = text[at - 1], after = text[at];
  if (is_ascii(after)) {
    if (is_digit(before)) return true;
    if (before == '\n') return is_ascii_graph(after);
    return !is_ascii_letter(after) && ends_with_letter(text.substr(0, at));
  }
  return is_wide_stop(text.substr(at)) && ends_with_letter(text.substr(0, at));
}

}  // namespace

size_t last_border(std::string_view text, size_t most) {
  size_t at = std::min(most, text.empty() ? 0 : text.size() - 1);
  while (at > 0 && !is_border(text, at)) --at;
  return at;
}

}  // namespace st
