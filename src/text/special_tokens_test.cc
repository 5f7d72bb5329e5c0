#include "text/special_tokens.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "support/vocabularies.h"

namespace st {
namespace {

using testkit::error_of;

SpecialTokens special(const std::vector<std::string>& names) {
  std::vector<SpecialTokens::Name> list;
  for (size_t i = 0; i < names.size(); ++i) list.push_back({names[i], static_cast<Token>(i)});
  return SpecialTokens(list);
}

// All matches, as "begin-end:token".
std::string matches(const SpecialTokens& tokens, std::string_view text) {
  std::string out;
  size_t from = 0;
  while (const auto match = tokens.find(text, from)) {
    from = match->end;
    out += fmt::format("{}-{}:{} ", match->begin, match->end, match->token);
  }
  return out;
}

TEST(SpecialTokens, FindsTheLeftmostThenTheLongest) {
  const SpecialTokens tokens = special({"<|a|>", "<|a|>b", "|>", "b"});
  EXPECT_EQ(matches(tokens, "x<|a|>y"), "1-6:0 ");
  EXPECT_EQ(matches(tokens, "<|a|>b<|a|>|>"), "0-6:1 6-11:0 11-13:2 ");
  EXPECT_EQ(matches(tokens, "<|a|b|>"), "4-5:3 5-7:2 ");
  EXPECT_EQ(matches(tokens, "<|<|a|>"), "2-7:0 ");
  EXPECT_EQ(matches(tokens, "<|a|"), "");
  EXPECT_EQ(matches(tokens, ""), "");
  EXPECT_EQ(matches(special({}), "<|a|>"), "");
}

TEST(SpecialTokens, AgreesWithPlainComparison) {
  std::mt19937 random(5);
  const auto letters = [&](size_t n) {
    std::string text;
    while (text.size() < n) text += "ab<\xE4"[random() % 4];
    return text;
  };
  for (int round = 0; round < 500; ++round) {
    std::vector<std::string> names;
    for (auto n = 1 + random() % 12; n > 0; --n) {
      if (const auto name = letters(1 + random() % 5); std::ranges::count(names, name) == 0) {
        names.push_back(name);
      }
    }
    const std::string text = letters(40);
    std::string want;
    for (size_t i = 0; i < text.size();) {
      size_t best = names.size();
      for (size_t k = 0; k < names.size(); ++k) {
        const bool here = text.compare(i, names[k].size(), names[k]) == 0;
        if (here && (best == names.size() || names[k].size() > names[best].size())) best = k;
      }
      const size_t end = i + (best == names.size() ? 1 : names[best].size());
      if (best != names.size()) want += fmt::format("{}-{}:{} ", i, end, best);
      i = end;
    }
    ASSERT_EQ(matches(special(names), text), want) << text;
  }
}

TEST(SpecialTokens, RefusesNamesOutOfBounds) {
  EXPECT_EQ(error_of([] { special({"a", ""}); }),
            "tokens[1]: special token of 0 bytes, want 1..256");
  EXPECT_EQ(error_of([] { special({std::string(257, 'a')}); }),
            "tokens[0]: special token of 257 bytes, want 1..256");
  EXPECT_EQ(error_of([] { special({std::string(256, 'a')}); }), "no error");
  EXPECT_EQ(error_of([] { special({"<a>", "b", "<a>"}); }), "tokens[2]: '<a>' is also token 0");
  std::vector<std::string> many;
  for (int i = 0; i < 4097; ++i) many.push_back(fmt::format("{:0256}", i));
  EXPECT_EQ(error_of([&] { special(many); }),
            "tokens[4096]: special tokens have more than 1048576 bytes in all");
}

}  // namespace
}  // namespace st
