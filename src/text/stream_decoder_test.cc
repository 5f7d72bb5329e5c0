#include <gtest/gtest.h>

#include <vector>

#include "text/tokenizer.h"

namespace st {
namespace {

const std::string kFffd = "\xEF\xBF\xBD";

// Feeds `bytes` in parts that end at `cuts`.
std::string decode(std::string_view bytes, const std::vector<size_t>& cuts = {}) {
  StreamDecoder decoder;
  std::string out;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    out += decoder.push(bytes.substr(begin, cut - begin));
    begin = cut;
  }
  out += decoder.push(bytes.substr(begin));
  return out + decoder.finish();
}

// The result of every way to feed `bytes` in up to three parts, and one by one.
void expect_everywhere(std::string_view bytes, std::string_view want) {
  std::vector<size_t> each;
  for (size_t a = 0; a <= bytes.size(); ++a) {
    each.push_back(a);
    for (size_t b = a; b <= bytes.size(); ++b)
      ASSERT_EQ(decode(bytes, {a, b}), want) << a << ' ' << b;
  }
  EXPECT_EQ(decode(bytes, each), want);
}

TEST(StreamDecoder, LeavesTextAsItIs) {
  const std::string text =
      "Hi \xC3\xA9 \xE4\xBD\xA0\xE5\xA5\xBD \xD0\x9C\xD0\xB8\xD1\x80 \xE0\xA4\xB9\xE0\xA4\xBF "
      "\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9 \xF4\x8F\xBF\xBF\x7F\n";
  expect_everywhere(text, text);
  expect_everywhere("", "");
}

TEST(StreamDecoder, ReplacesWhatIsNotUtf8) {
  // The example of Unicode's section 3.9 (table 3-11).
  expect_everywhere(
      "a\xF1\x80\x80\xE1\x80\xC2"
      "b\x80"
      "c\x80\xBF"
      "d",
      "a" + kFffd + kFffd + kFffd + "b" + kFffd + "c" + kFffd + kFffd + "d");
  // Overlong forms, surrogates, past U+10FFFF: one for every byte.
  expect_everywhere("\xC0\xAF\xE0\x80\xBF", kFffd + kFffd + kFffd + kFffd + kFffd);
  expect_everywhere("\xED\xA0\x80", kFffd + kFffd + kFffd);
  expect_everywhere("\xF4\x90\x80\x80\xFF", kFffd + kFffd + kFffd + kFffd + kFffd);
}

TEST(StreamDecoder, ReplacesAnUnfinishedCharacterOnce) {
  expect_everywhere("a\xF0\x9F\x91", "a" + kFffd);
  expect_everywhere("\xE4\xBD", kFffd);
  expect_everywhere("\xC3", kFffd);
}

TEST(StreamDecoder, HoldsBackOnlyWhatMayBecomeACharacter) {
  StreamDecoder decoder;
  EXPECT_EQ(decoder.push("ab\xF0\x9F"), "ab");
  EXPECT_EQ(decoder.push("\x91"), "");
  EXPECT_EQ(decoder.push("\xA8!"), "\xF0\x9F\x91\xA8!");
  EXPECT_EQ(decoder.push("\xE4"), "");
  EXPECT_EQ(decoder.push("x"), kFffd + "x");
  EXPECT_EQ(decoder.push("\xFF"), kFffd);  // can never begin one
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, StartsAnewAfterTheEnd) {
  StreamDecoder decoder;
  EXPECT_EQ(decoder.push("\xE4\xBD"), "");
  EXPECT_EQ(decoder.finish(), kFffd);
  EXPECT_EQ(decoder.push("\xA0"), kFffd);
  EXPECT_EQ(decoder.finish(), "");
}

}  // namespace
}  // namespace st
