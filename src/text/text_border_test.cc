#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "support/vocabularies.h"
#include "text/pretokenize.h"

namespace st {
namespace {

using testkit::tiny_tokenizer;

// What borders could be mistaken about: contractions, marks that compose or attach to a line feed,
// blanks of all kinds, halves of characters, names of special tokens.
std::string some_text(std::mt19937& random, size_t parts) {
  static const std::vector<std::string> kParts = {"a",
                                                  "don",
                                                  "'t",
                                                  "'S",
                                                  "the",
                                                  " ",
                                                  "  ",
                                                  "\n",
                                                  "\r\n",
                                                  "\n\n",
                                                  "\t",
                                                  "1",
                                                  "42",
                                                  ".",
                                                  "...",
                                                  "?!",
                                                  "e\u0301",
                                                  "\u0301",
                                                  "\u00E9",
                                                  "\u0345\u0301",
                                                  "\u3001",
                                                  "\u3002",
                                                  "\uFF0C",
                                                  "\u4E2D\u6587",
                                                  "\u304B\u3099",
                                                  "\u304B",
                                                  "\uAC00",
                                                  "\u1100\u1161",
                                                  "\u11A8",
                                                  "\u00A0",
                                                  "\u3000",
                                                  "\u2028",
                                                  "\xE4\xB8",
                                                  "\xFF",
                                                  "\xC3",
                                                  "<|im_start|>",
                                                  "<|im_",
                                                  "_end|>",
                                                  "<|endoftext|>",
                                                  "\u0416",
                                                  "\u0483",
                                                  "\U0001F600",
                                                  "\u017F",
                                                  "'\u017F",
                                                  "_",
                                                  "-",
                                                  "K\u0338",
                                                  "\u212A",
                                                  "\u0660",
                                                  "x"};
  std::string text;
  for (size_t i = 0; i < parts; ++i) text += kParts[random() % kParts.size()];
  return text;
}

TEST(TextBorder, PartsHaveTheTokensOfTheWhole) {
  std::mt19937 random(1);
  int borders = 0;
  for (int round = 0; round < 4000; ++round) {
    const std::string text = some_text(random, 12);
    const auto whole = tiny_tokenizer().encode(text, false);
    for (size_t at = 1; at < text.size(); ++at) {
      if (last_border(text, at) != at) continue;
      ++borders;
      auto parts = tiny_tokenizer().encode(std::string_view(text).substr(0, at), false);
      const auto rest = tiny_tokenizer().encode(std::string_view(text).substr(at), false);
      parts.insert(parts.end(), rest.begin(), rest.end());
      ASSERT_EQ(parts, whole) << testing::PrintToString(text) << " at " << at;
    }
  }
  EXPECT_GT(borders, 10'000);
}

TEST(TextBorder, IsFoundInAnyLanguage) {
  EXPECT_EQ(last_border("one two", 7), 3u);
  EXPECT_EQ(last_border("one two", 2), 0u);
  EXPECT_EQ(last_border("x = 12;", 7), 6u);
  EXPECT_EQ(last_border("{\n}", 3), 2u);
  EXPECT_EQ(last_border("\u4E2D\u3002\u6587", 9), 3u);
  EXPECT_EQ(last_border("\u0416 ", 3), 2u);
  EXPECT_EQ(last_border("e\u0301 f", 5), 0u);
  EXPECT_EQ(last_border("", 0), 0u);
  EXPECT_EQ(last_border("aaaa", 4), 0u);
}

TEST(TextEncoder, EncodesPartsAsTheWhole) {
  std::mt19937 random(2);
  for (const bool parse_special : {false, true}) {
    for (int round = 0; round < 6; ++round) {
      std::string text = some_text(random, 60'000);
      if (round == 5) text.insert(1000, std::string(200'000, 'a'));  // longer than a window
      TextEncoder encoder(tiny_tokenizer(), parse_special);
      std::vector<Token> tokens;
      for (size_t at = 0; at < text.size();) {
        const size_t n = std::min<size_t>(text.size() - at, 1 + random() % 100'000);
        encoder.add(std::string_view(text).substr(at, n), tokens);
        at += n;
        if (round < 5) {
          ASSERT_LT(encoder.bytes(), uint64_t{16} << 20);
        }
      }
      encoder.finish(tokens);
      ASSERT_EQ(tokens, tiny_tokenizer().encode(text, parse_special)) << round;
    }
  }
}

}  // namespace
}  // namespace st
