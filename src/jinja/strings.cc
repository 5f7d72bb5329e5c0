#include "jinja/strings.h"

#include <algorithm>
#include <span>

#include "jinja/marks.h"
#include "text/utf8.h"

namespace st::jinja {
namespace {

// Bytes at the left end that are in `set`.
size_t set_on_left(std::string_view text, std::string_view set) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t size = character_at(text, at).size;
    if (set.find(text.substr(at, size)) == set.npos) break;
    at += size;
  }
  return at;
}

size_t set_on_right(std::string_view text, std::string_view set) {
  size_t end = text.size();
  while (end > 0) {
    size_t begin = end - 1;  // of the last character
    while (begin > 0 && end - begin < 4 && (text[begin] & 0xC0) == 0x80) --begin;
    if (set.find(text.substr(begin, end - begin)) == set.npos) break;
    end = begin;
  }
  return text.size() - end;
}

// Cuts a text at stretches of bytes that are left out.
class Cutter {
 public:
  Cutter(const MarkedText& text, Budget& budget) : reader_(text), budget_(budget) {}

  void cut(size_t begin, size_t end) {
    budget_.items(parts_.size() % 8 == 0 ? 8 : 0);
    parts_.push_back(reader_.take(begin - reader_.position()));
    reader_.skip(end - begin);
  }
  std::vector<MarkedText> finish() {
    parts_.push_back(reader_.take(reader_.left()));
    budget_.new_list(parts_.size());
    return std::move(parts_);
  }
  size_t position() const { return reader_.position(); }
  size_t count() const { return parts_.size(); }

 private:
  MarkedReader reader_;
  Budget& budget_;
  std::vector<MarkedText> parts_;
};

using Stretch = std::pair<size_t, size_t>;  // begin and end

// Stretches of white space in `text`.
std::vector<Stretch> spaces_in(std::string_view text) {
  std::vector<Stretch> stretches;
  for (size_t at = 0; at < text.size();) {
    const size_t spaces = spaces_on_left(text.substr(at));
    if (spaces > 0) stretches.emplace_back(at, at + spaces);
    at += spaces > 0 ? spaces : character_at(text, at).size;
  }
  return stretches;
}

std::vector<Stretch> occurrences(std::string_view text, std::string_view part) {
  std::vector<Stretch> stretches;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) {
    stretches.emplace_back(at, at + part.size());
  }
  return stretches;
}

std::vector<Stretch> occurrences_from_right(std::string_view text, std::string_view part) {
  std::vector<Stretch> stretches;
  size_t end = text.size();
  while (end >= part.size()) {
    const size_t at = text.rfind(part, end - part.size());
    if (at == text.npos) break;
    stretches.emplace_back(at, at + part.size());
    end = at;
  }
  std::ranges::reverse(stretches);
  return stretches;
}

std::vector<MarkedText> cut_at(const MarkedText& text, std::span<const Stretch> stretches,
                               Budget& budget) {
  budget.new_list(stretches.size() + 1);
  Cutter cutter(text, budget);
  for (const auto& [begin, end] : stretches) cutter.cut(begin, end);
  return cutter.finish();
}

// As many of the stretches as may be cut at, the first or the last ones.
std::span<const Stretch> at_most(const std::vector<Stretch>& stretches, int64_t max, bool last) {
  const std::span<const Stretch> all(stretches);
  if (max < 0 || static_cast<uint64_t>(max) >= all.size()) return all;
  const auto count = static_cast<size_t>(max);
  return last ? all.last(count) : all.first(count);
}

std::vector<MarkedText> split_at(const MarkedText& text, std::optional<std::string_view> separator,
                                 int64_t max, bool right, Budget& budget) {
  budget.text(text);
  if (separator) {
    const auto stretches = right ? occurrences_from_right(text.bytes, *separator)
                                 : occurrences(text.bytes, *separator);
    return cut_at(text, at_most(stretches, max, right), budget);
  }
  // White space is no part where splitting begins, but belongs to what is left over at the end.
  const MarkedText inner =
      stripped(text, std::nullopt, !right || max < 0, right || max < 0, budget);
  const auto spaces = spaces_in(inner.bytes);
  auto parts = cut_at(inner, at_most(spaces, max, right), budget);
  const auto far_end = right ? parts.begin() : parts.end() - 1;
  if (far_end->bytes.empty()) parts.erase(far_end);
  return parts;
}

}  // namespace

MarkedText stripped(const MarkedText& text, std::optional<std::string_view> set, bool left,
                    bool right, Budget& budget) {
  budget.text(text);
  const std::string_view bytes = text.bytes;
  if (set) budget.bytes(std::min(bytes.size(), bytes.size() * set->size() / 8));
  const size_t begin = !left ? 0 : set ? set_on_left(bytes, *set) : spaces_on_left(bytes);
  const std::string_view rest = bytes.substr(begin);
  const size_t end = !right ? 0 : set ? set_on_right(rest, *set) : spaces_on_right(rest);
  return part(text, begin, rest.size() - end);
}

std::vector<MarkedText> split(const MarkedText& text, std::optional<std::string_view> separator,
                              int64_t max, Budget& budget) {
  return split_at(text, separator, max, false, budget);
}

std::vector<MarkedText> split_right(const MarkedText& text,
                                    std::optional<std::string_view> separator, int64_t max,
                                    Budget& budget) {
  return split_at(text, separator, max, true, budget);
}

std::vector<MarkedText> split_lines(const MarkedText& text, bool keep_ends, Budget& budget) {
  budget.text(text);
  Cutter cutter(text, budget);
  const std::string_view bytes = text.bytes;
  for (size_t at = 0; at < bytes.size();) {
    const Character character = character_at(bytes, at);
    size_t end = at + character.size;
    if (is_line_end(character.code)) {
      if (character.code == '\r' && bytes.substr(end).starts_with('\n')) ++end;
      cutter.cut(keep_ends ? end : at, end);
    }
    at = end;
  }
  std::vector<MarkedText> lines = cutter.finish();
  if (lines.back().bytes.empty()) lines.pop_back();
  return lines;
}

MarkedText replaced(const MarkedText& text, std::string_view old, const MarkedText& by, int64_t max,
                    Budget& budget) {
  budget.text(text);
  MarkedText out;
  MarkedReader reader(text);
  const std::string_view bytes = text.bytes;
  const auto insert = [&] {
    budget.text(by);
    budget.items(1 + by.bytes.size() / 16);
    append(out, by);
  };
  for (size_t at = 0; max != 0; --max) {
    if (old.empty()) {  // stands between all characters
      insert();
      if (reader.left() == 0) return out;
      reader.take(character_at(bytes, reader.position()).size, out);
      continue;
    }
    at = bytes.find(old, at);
    if (at == bytes.npos) break;
    reader.take(at - reader.position(), out);
    reader.skip(old.size());
    insert();
    at += old.size();
  }
  reader.take(reader.left(), out);
  return out;
}

MarkedText joined(const std::vector<MarkedText>& parts, const MarkedText& separator,
                  Budget& budget) {
  MarkedText out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) {
      budget.text(separator);
      append(out, separator);
    }
    budget.text(parts[i]);
    append(out, parts[i]);
  }
  budget.items(parts.size() * 4);
  return out;
}

namespace {

constexpr char32_t kSigma = 0x3A3, kFinalSigma = 0x3C2;

bool has_case(char32_t code) { return is_upper(code) || is_lower(code) || is_title(code); }

// Whether no letter stands at `at`.
bool ends_word(std::string_view text, size_t at) {
  return at == text.size() || !has_case(character_at(text, at).code);
}

// Each character in the case that `choose` says.
template <typename Choose>
MarkedText recased(const MarkedText& text, Budget& budget, Choose choose) {
  budget.text(text);
  budget.items(text.bytes.size() / 16);
  MarkedText out;
  MarkedReader reader(text);
  std::string one;
  bool in_word = false;
  while (reader.left() > 0) {
    const Character character = character_at(text.bytes, reader.position());
    const bool invalid = character.code == 0xFFFD;
    const Case wanted = choose(character.code);
    one.clear();
    if (invalid) {
      one = text.bytes.substr(reader.position(), character.size);
    } else if (character.code == kSigma && wanted == Case::kLower && in_word &&
               ends_word(text.bytes, reader.position() + character.size)) {
      append_utf8(kFinalSigma, one);
    } else {
      append_in_case(character.code, wanted, one);
    }
    in_word = has_case(character.code);
    out.append(one, reader.skip(character.size));
  }
  return out;
}

}  // namespace

MarkedText in_case(const MarkedText& text, Case wanted, Budget& budget) {
  return recased(text, budget, [&](char32_t) { return wanted; });
}

MarkedText capitalized(const MarkedText& text, Case first, Budget& budget) {
  bool begun = false;
  return recased(text, budget,
                 [&](char32_t) { return std::exchange(begun, true) ? Case::kLower : first; });
}

MarkedText with_title_words(const MarkedText& text, Budget& budget) {
  bool within = false;
  return recased(text, budget, [&](char32_t code) {
    return std::exchange(within, has_case(code)) ? Case::kLower : Case::kTitle;
  });
}

MarkedText with_swapped_case(const MarkedText& text, Budget& budget) {
  return recased(text, budget,
                 [](char32_t code) { return is_upper(code) ? Case::kLower : Case::kUpper; });
}

MarkedText padded(const MarkedText& text, size_t left, size_t right, const MarkedText& fill,
                  Budget& budget) {
  constexpr size_t kMost = size_t{1} << 40;
  budget.text(text);
  budget.bytes(std::min(left, kMost) * fill.bytes.size());
  budget.bytes(std::min(right, kMost) * fill.bytes.size());
  MarkedText out;
  for (size_t i = 0; i < left; ++i) append(out, fill);
  append(out, text);
  for (size_t i = 0; i < right; ++i) append(out, fill);
  return out;
}

}  // namespace st::jinja
