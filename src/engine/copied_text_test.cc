#include "engine/copied_text.h"

#include <gtest/gtest.h>

#include <random>
#include <span>
#include <vector>

namespace st {
namespace {

std::vector<Token> random_text(uint32_t seed, int64_t tokens, uint32_t vocabulary) {
  std::mt19937 random(seed);
  std::vector<Token> text(static_cast<size_t>(tokens));
  for (Token& token : text) token = static_cast<Token>(random() % vocabulary);
  return text;
}

std::vector<Token> operator+(std::vector<Token> a, std::span<const Token> b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(CopiedText, FindsWhatWasWrittenBefore) {
  const std::vector<Token> text = {1, 2, 3, 4, 5, 6, 7, 8, 3, 4};
  CopiedText copied;
  copied.begin();
  copied.follow(std::span(text).first(9));
  EXPECT_EQ(copied.place(), 0);  // a token alone says too little
  copied.follow(text);
  EXPECT_EQ(copied.place(), 4);
  EXPECT_EQ(copied.agreeing(), 2);
  copied.follow(text + std::vector<Token>{5, 6});
  EXPECT_EQ(copied.place(), 6);
  EXPECT_EQ(copied.agreeing(), 4);
  copied.follow(text + std::vector<Token>{5, 6, 9});
  EXPECT_EQ(copied.place(), 0);
}

// The last place, unless an earlier one agrees for longer.
TEST(CopiedText, TakesThePlaceThatAgreesForLonger) {
  CopiedText copied;
  copied.begin();
  copied.follow(std::vector<Token>{1, 2, 3, 9, 2, 3, 8, 2, 3});
  EXPECT_EQ(copied.place(), 6);
  copied.begin();
  copied.follow(std::vector<Token>{4, 5, 1, 2, 3, 9, 2, 3, 8, 4, 5, 1, 2, 3});
  EXPECT_EQ(copied.place(), 5);
  EXPECT_EQ(copied.agreeing(), 5);
}

// A run that overlaps what follows it.
TEST(CopiedText, FindsOneTokenOverAndOver) {
  CopiedText copied;
  copied.begin();
  const std::vector<Token> text(30, 7);
  copied.follow(text);
  EXPECT_EQ(copied.place(), 29);
  EXPECT_EQ(copied.agreeing(), 29);
}

// By how long the text agrees, whoever asks; prompts say nothing of answers.
TEST(CopiedText, KnowsWhatComesTrue) {
  const std::vector<Token> once = random_text(1, 500, 1000);
  CopiedText copied;
  copied.begin();
  copied.follow(once + once);
  const double at_first = copied.chance(0);
  copied.follow(once + once + std::span(once).first(100));
  EXPECT_EQ(copied.agreeing(), CopiedText::kMost);
  EXPECT_GT(copied.chance(0), 0.98);
  EXPECT_GT(copied.chance(0), at_first);

  copied.begin();
  const std::vector<Token> few = random_text(2, 4000, 12);
  copied.follow(std::span(few).first(10));
  copied.follow(few);
  copied.begin();
  copied.follow(std::vector<Token>{1, 2, 3, 1, 2});
  EXPECT_EQ(copied.agreeing(), 2);
  EXPECT_LT(copied.chance(0), 0.3);  // one in twelve comes true
  EXPECT_LT(copied.chance(2), 0.3);
}

// A place is never behind the end, whatever slots say of another text.
TEST(CopiedText, StaysWithinTheText) {
  CopiedText copied;
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const std::vector<Token> text = random_text(seed, 200, 1 + seed);
    copied.begin();
    for (size_t n = 1; n <= text.size(); n += 1 + n % 3) {
      copied.follow(std::span(text).first(n));
      ASSERT_LT(copied.place(), static_cast<int64_t>(n));
      ASSERT_LE(copied.agreeing(), copied.place());
      for (int64_t i = 1; i <= copied.agreeing(); ++i) {
        ASSERT_EQ(text[static_cast<size_t>(copied.place() - i)], text[n - static_cast<size_t>(i)]);
      }
    }
  }
}

}  // namespace
}  // namespace st
