// The methods of strings: Python's.
#include <algorithm>
#include <array>

#include "jinja/access.h"
#include "jinja/format.h"
#include "jinja/marks.h"
#include "jinja/methods.h"
#include "jinja/operators.h"
#include "jinja/render.h"
#include "jinja/strings.h"

namespace st::jinja {
namespace {

// A string that came out of `self`.
Value like(const Value& self, MarkedText text) {
  return String{std::move(text), self.as_string().markup};
}

const MarkedText& text(const Value& self) { return self.as_string().text; }

// An argument that is a string, or None.
std::optional<std::string_view> optional_string(const Parameters& parameters, size_t i) {
  if (!parameters.has(i) || parameters.value(i, None{}).is_none()) return std::nullopt;
  return parameters.string(i).text.bytes;
}

// What goes into `self`: escaped, if that is markup and this is not.
MarkedText for_self(const Value& self, const String& argument, Budget& budget) {
  const bool escape = self.as_string().markup && !argument.markup;
  return escape ? escaped_for_html(argument.text, budget) : argument.text;
}

Value list_like(const Value& self, std::vector<MarkedText> parts, Sequence::Type type) {
  Sequence list{.type = type};
  for (MarkedText& part : parts) list.items.push_back(like(self, std::move(part)));
  return list;
}

template <bool left, bool right>
Value strip(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters parameters("strip", arguments, {"chars"});
  return like(self,
              stripped(text(self), optional_string(parameters, 0), left, right, render.budget()));
}

template <auto split_some>
Value split_method(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters parameters("split", arguments, {"sep", "maxsplit"});
  const auto separator = optional_string(parameters, 0);
  if (separator && separator->empty()) refuse("split: an empty separator");
  return list_like(self,
                   split_some(text(self), separator, parameters.integer(1, -1), render.budget()),
                   Sequence::Type::kList);
}

Value splitlines(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters parameters("splitlines", arguments, {"keepends"});
  return list_like(self, split_lines(text(self), parameters.truth(0, false), render.budget()),
                   Sequence::Type::kList);
}

template <bool right>
Value partition(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters parameters("partition", arguments, {"sep"});
  const MarkedText& separator = parameters.string(0).text;
  const MarkedText& whole = text(self);
  if (separator.bytes.empty()) refuse("partition: an empty separator");
  render.budget().text(whole);
  const size_t at = right ? whole.bytes.rfind(separator.bytes) : whole.bytes.find(separator.bytes);
  std::vector<MarkedText> parts(3);
  if (at == whole.bytes.npos) {
    parts[right ? 2 : 0] = whole;
  } else {
    MarkedReader reader(whole);
    parts[0] = reader.take(at);
    parts[1] = reader.take(separator.bytes.size());
    parts[2] = reader.take(reader.left());
  }
  return list_like(self, std::move(parts), Sequence::Type::kTuple);
}

Value replace(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters parameters("replace", arguments, {"old", "new", "count"});
  Budget& budget = render.budget();
  const MarkedText old = for_self(self, parameters.string(0), budget);
  const MarkedText by = for_self(self, parameters.string(1), budget);
  return like(self, replaced(text(self), old.bytes, by, parameters.integer(2, -1), budget));
}

Value join(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters parameters("join", arguments, {"iterable"});
  std::vector<MarkedText> parts;
  bool markup = self.as_string().markup;
  for (const Value& item : Elements(parameters.required(0), render.budget())) {
    if (!item.is_string()) refuse("join: wants strings, not '{}'", item.type_name());
    parts.push_back(for_self(self, item.as_string(), render.budget()));
  }
  return String{joined(parts, text(self), render.budget()), markup};
}

template <Case wanted>
Value change_case(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters none("case", arguments, {});
  return like(self, in_case(text(self), wanted, render.budget()));
}

template <auto change>
Value changed(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters none("case", arguments, {});
  return like(self, change(text(self), render.budget()));
}

MarkedText capitalize(const MarkedText& whole, Budget& budget) {
  return capitalized(whole, Case::kTitle, budget);
}

// The characters from `start` to `end`, as arguments 1 and 2 tell them, and where they begin.
std::pair<std::string_view, size_t> range_of(const Value& self, const Parameters& parameters) {
  const std::string_view bytes = self.bytes();
  if (!parameters.has(1) && !parameters.has(2)) return {bytes, 0};
  const auto count = static_cast<int64_t>(count_characters(bytes));
  const auto bound = [&](size_t i, int64_t fallback) {
    int64_t at = parameters.integer(i, fallback);
    if (at < 0) at = std::max<int64_t>(at + count, 0);
    return static_cast<size_t>(std::min(at, count));
  };
  const size_t start = bound(1, 0), end = std::max(bound(2, count), start);
  const size_t begin = bytes_of_characters(bytes, start);
  return {bytes.substr(begin, bytes_of_characters(bytes.substr(begin), end - start)), start};
}

template <bool right, bool must>
Value find(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters parameters("find", arguments, {"sub", "start", "end"});
  render.budget().text(text(self));
  const std::string_view part = parameters.string(0).text.bytes;
  const auto [within, start] = range_of(self, parameters);
  const size_t at = right ? within.rfind(part) : within.find(part);
  if (at == within.npos && must) refuse("index: the text is not there");
  if (at == within.npos) return int64_t{-1};
  return static_cast<int64_t>(start + count_characters(within.substr(0, at)));
}

Value count(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters parameters("count", arguments, {"sub", "start", "end"});
  render.budget().text(text(self));
  const std::string_view part = parameters.string(0).text.bytes;
  const auto within = range_of(self, parameters).first;
  if (part.empty()) return static_cast<int64_t>(count_characters(within)) + 1;
  int64_t total = 0;
  for (size_t at = within.find(part); at != within.npos; at = within.find(part, at + part.size())) {
    ++total;
  }
  return total;
}

template <bool at_end>
Value affix(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters parameters("startswith", arguments, {"affix", "start", "end"});
  render.budget().text(text(self));
  const auto within = range_of(self, parameters).first;
  const auto fits = [&](const Value& part) {
    if (part.is_undefined()) refuse_undefined(part);
    if (!part.is_string()) refuse("startswith: wants strings, not '{}'", part.type_name());
    return at_end ? within.ends_with(part.bytes()) : within.starts_with(part.bytes());
  };
  const Value& parts = parameters.required(0);
  if (parts.is_sequence() && parts.as_sequence().is_tuple()) {
    return std::ranges::any_of(parts.as_sequence().items, fits);
  }
  return fits(parts);
}

template <bool at_end>
Value remove_affix(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters parameters("removeprefix", arguments, {"affix"});
  const MarkedText& whole = text(self);
  render.budget().text(whole);
  const std::string_view part_removed = parameters.string(0).text.bytes;
  const size_t left = whole.bytes.size() - std::min(whole.bytes.size(), part_removed.size());
  if (at_end) {
    return like(self,
                part(whole, 0, whole.bytes.ends_with(part_removed) ? left : whole.bytes.size()));
  }
  const size_t begin = whole.bytes.starts_with(part_removed) ? part_removed.size() : 0;
  return like(self, part(whole, begin, whole.bytes.size() - begin));
}

enum class Side { kLeft, kRight, kCenter };

// Where the text goes in so many characters.
template <Side side>
Value justify(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters parameters("center", arguments, {"width", "fillchar"});
  parameters.required(0);
  const MarkedText fill = parameters.has(1) ? parameters.string(1).text : marked(" ", true);
  if (count_characters(fill.bytes) != 1) refuse("center: wants one character to fill with");
  const auto size = static_cast<int64_t>(count_characters(self.bytes()));
  const int64_t width = parameters.integer(0, 0);
  const int64_t room = std::max<int64_t>(width, size) - size;
  // As CPython's str.center(): an odd rest goes to the left if the width is odd, too.
  const int64_t half = room / 2 + (room & width & 1);
  const int64_t left = side == Side::kLeft ? 0 : side == Side::kRight ? room : half;
  return like(self, padded(text(self), static_cast<size_t>(left), static_cast<size_t>(room - left),
                           fill, render.budget()));
}

Value zfill(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters parameters("zfill", arguments, {"width"});
  parameters.required(0);
  const auto size = static_cast<int64_t>(count_characters(self.bytes()));
  const auto zeros = static_cast<size_t>(std::max(parameters.integer(0, 0), size) - size);
  const bool sign = self.bytes().starts_with('-') || self.bytes().starts_with('+');
  MarkedReader reader(text(self));
  MarkedText out = reader.take(sign ? 1 : 0);
  append(out, padded(reader.take(reader.left()), zeros, 0, marked("0", true), render.budget()));
  return like(self, std::move(out));
}

// Whether all characters are of a kind, and there are some.
template <bool (*kind)(char32_t), bool empty = false>
Value all_are(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters none("isalpha", arguments, {});
  render.budget().text(text(self));
  const std::string_view bytes = self.bytes();
  for (size_t at = 0; at < bytes.size();) {
    const Character character = character_at(bytes, at);
    if (!kind(character.code)) return false;
    at += character.size;
  }
  return empty || !bytes.empty();
}

template <bool upper>
Value all_in_case(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters none("isupper", arguments, {});
  render.budget().text(text(self));
  return is_in_case(self.bytes(), upper);
}

Value istitle(Render& render, const Value& self, const Arguments& arguments) {
  const Parameters none("istitle", arguments, {});
  const MarkedText titled = with_title_words(text(self), render.budget());
  const bool letters = std::ranges::any_of(split_characters(titled), [](const MarkedText& one) {
    return is_upper(character_at(one.bytes, 0).code);
  });
  return letters && titled.bytes == self.bytes();
}

bool is_alphanumeric(char32_t code) { return is_letter(code) || is_numeric(code); }
Value isidentifier(Render&, const Value& self, const Arguments& arguments) {
  const Parameters none("isidentifier", arguments, {});
  const std::string_view bytes = self.bytes();
  if (bytes.empty() || is_numeric(character_at(bytes, 0).code)) return false;
  for (size_t at = 0; at < bytes.size();) {
    const Character character = character_at(bytes, at);
    if (!is_alphanumeric(character.code) && character.code != '_') return false;
    at += character.size;
  }
  return true;
}

bool is_ascii(char32_t code) { return code < 0x80; }
// Also what stands above and below a line.
bool is_digit(char32_t code) {
  return is_decimal(code) || code == 0xB2 || code == 0xB3 || code == 0xB9 || code == 0x2070 ||
         (code >= 0x2074 && code <= 0x2079) || (code >= 0x2080 && code <= 0x2089);
}

constexpr auto kMethods = std::to_array<Method>({
    {"capitalize", changed<capitalize>},
    {"casefold", change_case<Case::kLower>},
    {"center", justify<Side::kCenter>},
    {"count", count},
    {"endswith", affix<true>},
    {"find", find<false, false>},
    {"format", format_method},
    {"index", find<false, true>},
    {"isalnum", all_are<is_alphanumeric>},
    {"isalpha", all_are<is_letter>},
    {"isascii", all_are<is_ascii, true>},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_are<is_digit>},
    {"isidentifier", isidentifier},
    {"islower", all_in_case<false>},
    {"isnumeric", all_are<is_numeric>},
    {"isprintable", all_are<is_printable, true>},
    {"isspace", all_are<is_space>},
    {"istitle", istitle},
    {"isupper", all_in_case<true>},
    {"join", join},
    {"ljust", justify<Side::kLeft>},
    {"lower", change_case<Case::kLower>},
    {"lstrip", strip<true, false>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace},
    {"rfind", find<true, false>},
    {"rindex", find<true, true>},
    {"rjust", justify<Side::kRight>},
    {"rpartition", partition<true>},
    {"rsplit", split_method<split_right>},
    {"rstrip", strip<false, true>},
    {"split", split_method<split>},
    {"splitlines", splitlines},
    {"startswith", affix<false>},
    {"strip", strip<true, true>},
    {"swapcase", changed<with_swapped_case>},
    {"title", changed<with_title_words>},
    {"upper", change_case<Case::kUpper>},
    {"zfill", zfill},
});

}  // namespace

const std::span<const Method> kStringMethods = kMethods;

}  // namespace st::jinja
