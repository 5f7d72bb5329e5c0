#include "cli/terminal/word_wrap.h"

#include <gtest/gtest.h>

#include <random>

#include "cli/terminal/wide_text.h"

namespace st {
namespace {

std::string wrapped(std::string_view text, int columns) {
  WordWrap wrap;
  std::string out = wrap.add(text, columns);
  return out + wrap.finish();
}

TEST(WordWrap, LinesEndBetweenWords) {
  EXPECT_EQ(wrapped("one two three", 9), "one two\nthree");
  EXPECT_EQ(wrapped("one two three", 13), "one two three");
  EXPECT_EQ(wrapped("one two three", 12), "one two\nthree");
  EXPECT_EQ(wrapped("one two  three", 9), "one two\nthree");
  EXPECT_EQ(wrapped("12345678 b", 8), "12345678\nb");
  EXPECT_EQ(wrapped("a 12345678", 8), "a\n12345678");
}

TEST(WordWrap, LinesOfTheTextStayWithTheirIndents) {
  EXPECT_EQ(wrapped("a\n  b c\n\nd", 20), "a\n  b c\n\nd");
  EXPECT_EQ(wrapped("a  \nb", 20), "a\nb");
  EXPECT_EQ(wrapped("a\tbb cc", 12), "a\tbb\ncc");  // a tab ends at column 8
}

TEST(WordWrap, WordsWiderThanALineGoOnInTheNext) {
  EXPECT_EQ(wrapped("a 1234567890ab", 8), "a\n1234567890ab");  // the terminal ends these lines
}

TEST(WordWrap, WidthsAreThoseOfCharacters) {
  EXPECT_EQ(wrapped("\u4f60\u597d\u4e16\u754c\u4f60\u597d", 8),
            "\u4f60\u597d\u4e16\u754c\n\u4f60\u597d");
  EXPECT_EQ(wrapped("aaa \u4f60\u597d\u4e16", 9), "aaa \u4f60\u597d\n\u4e16");
  EXPECT_EQ(wrapped("\u00e4\u00f6\u00fc\u00e4 \u00e4\u00f6\u00fc", 8),
            "\u00e4\u00f6\u00fc\u00e4 \u00e4\u00f6\u00fc");
  EXPECT_EQ(wrapped("e\u0301e\u0301e\u0301e\u0301 e\u0301e\u0301e\u0301", 8),
            "e\u0301e\u0301e\u0301e\u0301 e\u0301e\u0301e\u0301");
  EXPECT_EQ(wrapped("12345 \U0001F98A\U0001F98A", 9), "12345 \U0001F98A\n\U0001F98A");
}

TEST(WordWrap, TextInFencesIsNotTouched) {
  EXPECT_EQ(wrapped("a b c d e f\n```py\none two three\n```\na b c d e f", 9),
            "a b c d e\nf\n```py\none two three\n```\na b c d e\nf");
}

TEST(WordWrap, PiecesMakeNoDifference) {
  const std::string text =
      "It was \u4f60\u597d once  upon\ta time, \n\n  in a den\n```\nint main()\n"
      "```\n where \U0001F98A lived and e\u0301\u00e9 laughed. ";
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    const int columns = 8 + static_cast<int>(random() % 30);
    WordWrap wrap;
    std::string out;
    for (std::string_view rest = text; !rest.empty();) {
      size_t n = 0;
      for (size_t more = 1 + random() % 5; more > 0 && n < rest.size(); --more) {
        n += first_character(rest.substr(n)).bytes;
      }
      out += wrap.add(rest.substr(0, n), columns);
      rest.remove_prefix(n);
    }
    EXPECT_EQ(out + wrap.finish(), wrapped(text, columns)) << columns;
  }
}

TEST(WordWrap, ShowsAllButTheLastWordAtOnce) {
  WordWrap wrap;
  EXPECT_EQ(wrap.add("one tw", 20), "one");
  EXPECT_EQ(wrap.add("o", 20), "");
  EXPECT_EQ(wrap.add(".\n", 20), " two.\n");
  EXPECT_EQ(wrap.column(), 0);
}

}  // namespace
}  // namespace st
