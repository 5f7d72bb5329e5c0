#include <gtest/gtest.h>

#include "cli/terminal/completion_list.h"
#include "cli/terminal/pasted_texts.h"
#include "cli/terminal/typed_message.h"
#include "cli/terminal/wide_text.h"

namespace st {
namespace {

TEST(TypedMessage, GoesOnAfterABackslashAndWithinQuotes) {
  EXPECT_EQ(continues("one"), Continues::kNo);
  EXPECT_EQ(continues(""), Continues::kNo);
  EXPECT_EQ(continues("one\\"), Continues::kAfterBackslash);
  EXPECT_EQ(continues("\"\"\"one"), Continues::kInBlock);
  EXPECT_EQ(continues("\"\"\""), Continues::kInBlock);
  EXPECT_EQ(continues("\"\"\"\"\""), Continues::kInBlock);
  EXPECT_EQ(continues("  \"\"\"one\\"), Continues::kInBlock);
  EXPECT_EQ(continues("\"\"\"one\ntwo\"\"\" "), Continues::kNo);
  EXPECT_EQ(continues("say \"\"\"one"), Continues::kNo);
}

TEST(TypedMessage, OfABlockIsWhatStandsBetweenTheQuotes) {
  EXPECT_EQ(typed_message("\"\"\"\none\n  two\n\"\"\""), "one\n  two");
  EXPECT_EQ(typed_message("\"\"\"one\"\"\""), "one");
  EXPECT_EQ(typed_message("\"\"\"\n\none\n\n\"\"\""), "\none\n");
  EXPECT_EQ(typed_message("\"\"\"\"\"\""), "");
  EXPECT_EQ(typed_message(" one \n"), " one \n");
  EXPECT_EQ(typed_message("\"\"\"one"), "\"\"\"one");
}

TEST(PastedTexts, AMarkStandsForALongText) {
  const std::string poem = "line\nline\nline\nline\nline\nline\nline\nline\nline\nline\nline\n";
  EXPECT_TRUE(PastedTexts::is_long(poem));
  EXPECT_TRUE(PastedTexts::is_long(std::string(2001, 'x')));
  EXPECT_FALSE(PastedTexts::is_long("one\ntwo"));
  PastedTexts texts;
  EXPECT_EQ(texts.mark(poem), "[pasted text 1: 11 lines]");
  EXPECT_EQ(texts.mark(std::string(3000, 'x')), "[pasted text 2: 3000 bytes]");
  EXPECT_EQ(texts.mark(poem), "[pasted text 1: 11 lines]");
  EXPECT_EQ(texts.expanded("a [pasted text 1: 11 lines] b [pasted text 3: 1 lines]"),
            "a " + poem + " b [pasted text 3: 1 lines]");
  EXPECT_EQ(texts.shown("what is " + poem + "?"), "what is [pasted text 1: 11 lines]?");
  EXPECT_EQ(texts.shown(std::string(4000, 'y')), "[pasted text 3: 4000 bytes]");
  EXPECT_EQ(texts.shown("short"), "short");
}

TEST(WideText, IsUtf8AndBack) {
  const std::string text = "a\u00e9\u4f60\U0001F98A";
  EXPECT_EQ(narrow(widen(text)), text);
  EXPECT_EQ(widen(text).size(), 4u);
  EXPECT_EQ(narrow(widen("a\xff\xc3")), "a\uFFFD\uFFFD");
}

TEST(CompletionList, ShowsWordsInColumns) {
  const std::vector<std::string> words{"/edit", "/exit", "/experts"};
  EXPECT_EQ(common_beginning(words), "/e");
  EXPECT_EQ(common_beginning(std::vector<std::string>{"\u00e9", "\u00e8"}), "");
  EXPECT_EQ(in_columns(words, 80), "/edit     /exit     /experts\n");
  EXPECT_EQ(in_columns(words, 20), "/edit     /experts\n/exit\n");
  EXPECT_EQ(in_columns(words, 3), "/edit\n/exit\n/experts\n");
  EXPECT_EQ(in_columns(std::vector<std::string>{"a\x1b"}, 80), "a\\x1b\n");
}

}  // namespace
}  // namespace st
