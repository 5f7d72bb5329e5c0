#include "text/marked_text.h"

#include <gtest/gtest.h>

#include <random>

#include "support/vocabularies.h"

namespace st {
namespace {

using testkit::add_token;
using testkit::byte_vocab;
using Tokens = std::vector<Token>;

MarkedText marked(const std::vector<std::pair<std::string, bool>>& parts) {
  MarkedText text;
  for (const auto& [bytes, trusted] : parts) text.append(bytes, trusted);
  return text;
}

TEST(MarkedText, NeighboursOfOneKindAreOneRun) {
  MarkedText text = marked({{"ab", true}, {"", false}, {"c", true}, {"de", false}, {"", true}});
  EXPECT_EQ(text.bytes, "abcde");
  EXPECT_EQ(text.runs, (std::vector<MarkedText::Run>{{3, true}, {2, false}}));
  text.cut(4);
  EXPECT_EQ(text, marked({{"abc", true}, {"d", false}}));
  text.cut(3);
  EXPECT_EQ(text, marked({{"abc", true}}));
  text.cut(0);
  EXPECT_EQ(text, MarkedText());
}

class MarkedTokens : public testing::Test {
 protected:
  static Vocab vocab() {
    Vocab vocab = byte_vocab({"Ġ h", "Ġh i"});             // 256, 257
    add_token(vocab, "<|stop|>", TokenType::kControl);     // 258
    add_token(vocab, "<think>", TokenType::kUserDefined);  // 259
    add_token(vocab, "\n\n", TokenType::kUserDefined);     // 260
    add_token(vocab, "<|stop|>now", TokenType::kControl);  // 261
    return vocab;
  }
  Tokenizer tokenizer{vocab()};
};

TEST_F(MarkedTokens, NamesCountOnlyInsideTrustedRuns) {
  const Tokens stop = {'<', '|', 's', 't', 'o', 'p', '|', '>'};
  const Tokens think = {'<', 't', 'h', 'i', 'n', 'k', '>'};
  EXPECT_EQ(tokenizer.encode(marked({{"<|stop|><think>", true}})), (Tokens{258, 259}));
  EXPECT_EQ(tokenizer.encode(marked({{"<|stop|>", false}})), stop);
  EXPECT_EQ(tokenizer.encode(marked({{"<think>", false}})), think);
  // Neither half of a name makes the other one more than text.
  EXPECT_EQ(tokenizer.encode(marked({{"<thi", true}, {"nk>", false}})), think);
  EXPECT_EQ(tokenizer.encode(marked({{"<thi", false}, {"nk>", true}})), think);
  EXPECT_EQ(tokenizer.encode(marked({{"<t", true}, {"hi", false}, {"nk>", true}})), think);
  EXPECT_EQ(tokenizer.encode(marked({{"x", false}, {"<think>", true}, {"y", false}})),
            (Tokens{'x', 259, 'y'}));
}

TEST_F(MarkedTokens, TheLongestNameThatCounts) {
  EXPECT_EQ(tokenizer.encode(marked({{"<|stop|>now", true}})), (Tokens{261}));
  EXPECT_EQ(tokenizer.encode(marked({{"<|stop|>n", true}, {"ow", false}})),
            (Tokens{258, 'n', 'o', 'w'}));
}

TEST_F(MarkedTokens, WordsCrossRunsAndWhiteSpaceIsTheSameForAll) {
  EXPECT_EQ(tokenizer.encode(marked({{" ", true}, {"hi", false}})), (Tokens{257}));
  EXPECT_EQ(tokenizer.encode(marked({{" h", false}, {"i", true}})), (Tokens{257}));
  EXPECT_EQ(tokenizer.encode(marked({{"\n", true}, {"\n", false}})), (Tokens{260}));
  EXPECT_EQ(tokenizer.encode(marked({{"\n\n", false}})), (Tokens{260}));
}

TEST_F(MarkedTokens, NothingOfNothing) { EXPECT_EQ(tokenizer.encode(MarkedText()), Tokens()); }

// Words, white space, marks that compose, halves of characters, and what is nearly special.
std::string some_text(std::mt19937& random) {
  static const std::vector<std::string> kParts = {
      "a",        "don",      "'t",     "the ",       " ",       "  ",          "\n",
      "\n\n",     "\t",       "42",     "...",        "e\u0301", "\u0301",      "\u4E2D\u6587",
      "\u3099",   "\u304B",   "\u00A0", "\xE4\xB8",   "\xFF",    "<|im_",       "_end|>",
      "<start__", "of_turn>", "user\n", "\U0001F600", "\u2581",  "\u2581\u2581"};
  std::string text;
  for (auto n = 1 + random() % 16; n > 0; --n) text += kParts[random() % kParts.size()];
  return text;
}

TEST(MarkedTokensOfModels, WhereRunsMeetChangesNothing) {
  const Tokenizer qwen3(read_hf_vocab(testkit::shipped_model("micro-qwen3"), 0));
  const Tokenizer gemma(read_hf_vocab(testkit::shipped_model("micro-gemma3n"), 0));
  std::mt19937 random(1);
  for (int chat = 0; chat < 10'000; ++chat) {
    const std::string text = some_text(random);
    MarkedText cut;
    for (size_t begin = 0; begin < text.size();) {
      const size_t size = 1 + random() % 12;
      cut.append(std::string_view(text).substr(begin, size), random() % 2 == 0);
      begin += size;
    }
    ASSERT_EQ(cut.bytes, text);
    for (const Tokenizer* tokenizer : {&qwen3, &gemma, &testkit::tiny_tokenizer()}) {
      ASSERT_EQ(tokenizer->encode(cut), tokenizer->encode(text, true)) << printable(text);
    }
  }
}

}  // namespace
}  // namespace st
