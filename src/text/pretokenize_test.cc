#include "text/pretokenize.h"

#include <gtest/gtest.h>

#include <random>

#include "support/vocabularies.h"
#include "text/utf8.h"

namespace st {
namespace {

using Pieces = std::vector<std::string>;

Pieces cut(const Pretokenizer& pretokenizer, const std::string& text) {
  Pretokenizer::Scanner scanner(pretokenizer);
  Pieces pieces;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = scanner.piece_end(text, begin);
    pieces.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return pieces;
}

Pieces cut(const std::string& text) { return cut(Pretokenizer("qwen2"), text); }

TEST(Pretokenizer, CutsAsQwen2Does) {
  EXPECT_EQ(cut("Hello, world!"), (Pieces{"Hello", ",", " world", "!"}));
  EXPECT_EQ(cut("don't WE'LL 'twas"), (Pieces{"don", "'t", " WE", "'LL", " '", "twas"}));
  EXPECT_EQ(cut("a12b"), (Pieces{"a", "1", "2", "b"}));
  EXPECT_EQ(cut("x  y   \n\n z "), (Pieces{"x", " ", " y", "   \n\n", " z", " "}));
  EXPECT_EQ(cut("f(x);\r\n\r\n}"), (Pieces{"f", "(x", ");\r\n\r\n", "}"}));
}

TEST(Pretokenizer, TakesWhiteSpaceAsOnigurumaDoes) {
  // U+0085 is white space, U+180E and U+FEFF are not. Results of Hugging Face's tokenizers.
  EXPECT_EQ(cut("x\u0085\u0085y"), (Pieces{"x", "\u0085", "\u0085y"}));
  EXPECT_EQ(cut(" \u180Ex"), (Pieces{" \u180E", "x"}));
  EXPECT_EQ(cut(" \uFEFFx"), (Pieces{" \uFEFF", "x"}));
}

TEST(Pretokenizer, FoldsTheLongS) { EXPECT_EQ(cut("it'\u017Ft"), (Pieces{"it", "'\u017F", "t"})); }

TEST(Pretokenizer, InterpretedIsTheSame) {
  const Pretokenizer jit("qwen2"), interpreted("qwen2", false);
  constexpr std::u32string_view kPool =
      U"aZ\u00E9\u4E2D'srtvelmd019\u0663 \t\r\n\u00A0\u0085\u3000"
      U"\u0301!?.^\u200D\U0001F468\u017F\u180E";
  std::mt19937 random(11);
  for (int round = 0; round < 5'000; ++round) {
    std::string text;
    for (auto n = random() % 30; n > 0; --n) append_utf8(kPool[random() % kPool.size()], text);
    ASSERT_EQ(cut(jit, text), cut(interpreted, text)) << text;
  }
  // More than compiled code has stack for; then more steps than PCRE2 allows by default.
  for (const char* unit : {" ", "\u00A0", "^", "\u0301", "a", "\n "}) {
    const std::string text = testkit::repeat(unit, 1'500'000);
    EXPECT_EQ(cut(jit, text), cut(interpreted, text)) << unit;
  }
  EXPECT_EQ(cut(interpreted, std::string(12'000'000, ' ')).size(), 1u);
}

TEST(Pretokenizer, RefusesUnknownNames) {
  EXPECT_EQ(testkit::error_of([] { Pretokenizer("llama-bpe\x1b"); }),
            "pre-tokenizer 'llama-bpe\\x1b': only 'qwen2' is supported");
}

}  // namespace
}  // namespace st
