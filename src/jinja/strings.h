// What methods and filters do with strings. The marks of the parts go with them.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "jinja/budget.h"
#include "jinja/characters.h"
#include "text/marked_text.h"

namespace st::jinja {

// Without white space at the chosen ends, or without the characters of `set`.
MarkedText stripped(const MarkedText& text, std::optional<std::string_view> set, bool left,
                    bool right, Budget& budget);

// At most `max` splits, any number if it is negative. Without a separator: at runs of white space,
// without empty parts. REQUIRES: the separator is not empty.
std::vector<MarkedText> split(const MarkedText& text, std::optional<std::string_view> separator,
                              int64_t max, Budget& budget);
// The same from the right.
std::vector<MarkedText> split_right(const MarkedText& text,
                                    std::optional<std::string_view> separator, int64_t max,
                                    Budget& budget);
std::vector<MarkedText> split_lines(const MarkedText& text, bool keep_ends, Budget& budget);

// With `max` occurrences replaced, all if it is negative.
MarkedText replaced(const MarkedText& text, std::string_view old, const MarkedText& by, int64_t max,
                    Budget& budget);

MarkedText joined(const std::vector<MarkedText>& parts, const MarkedText& separator,
                  Budget& budget);

MarkedText in_case(const MarkedText& text, Case wanted, Budget& budget);
// The first character in upper or title case, the others in lower case.
MarkedText capitalized(const MarkedText& text, Case first, Budget& budget);
// Each letter that follows no letter in title case.
MarkedText with_title_words(const MarkedText& text, Budget& budget);
MarkedText with_swapped_case(const MarkedText& text, Budget& budget);

// `text` between `fill` on both sides, as many characters as told.
MarkedText padded(const MarkedText& text, size_t left, size_t right, const MarkedText& fill,
                  Budget& budget);

}  // namespace st::jinja
