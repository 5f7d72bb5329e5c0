#include "text/utf8.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <random>

#include "text/bpe.h"
#include "text/pretokenize.h"

namespace st {
namespace {

std::string utf8(std::u32string_view points) {
  std::string text;
  for (const char32_t c : points) append_utf8(c, text);
  return text;
}

// One character, or 0 if `text` does not begin with one, as utf8proc sees it.
size_t reference_length(std::string_view text) {
  utf8proc_int32_t code_point = 0;
  const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                       static_cast<utf8proc_ssize_t>(text.size()), &code_point);
  return length > 0 ? static_cast<size_t>(length) : 0;
}

TEST(Utf8, AgreesWithUtf8procAtEveryLimit) {
  constexpr std::string_view kBytes =
      "\x01\x41\x7F\x80\x81\x8F\x90\x9F\xA0\xBF\xC0\xC1\xC2\xDF\xE0\xE1\xEC\xED\xEE\xEF\xF0\xF1\xF3"
      "\xF4\xF5\xFF";
  for (const char a : kBytes) {
    for (const char b : kBytes) {
      for (const char c : kBytes) {
        for (const char d : kBytes) {
          const std::string text = {a, b, c, d};
          const Utf8Step step = utf8_step(text);
          const bool valid = step.kind == Utf8Step::kCharacter;
          ASSERT_NE(step.kind, Utf8Step::kIncomplete);
          ASSERT_EQ(valid ? step.length : 0, reference_length(text));
          // A stretch is incomplete exactly if something can complete it.
          for (size_t n = 1; valid && n < step.length; ++n) {
            ASSERT_EQ(utf8_step(text.substr(0, n)).kind, Utf8Step::kIncomplete);
          }
        }
      }
    }
  }
}

TEST(Utf8, InvalidPartsAreMaximal) {
  EXPECT_EQ(utf8_step("\xF1\x80\x80\xE1").length, 3);
  EXPECT_EQ(utf8_step("\xE1\x80\xC2").length, 2);
  EXPECT_EQ(utf8_step("\xC0\xAF").length, 1);
  EXPECT_EQ(utf8_step("\xED\xA0\x80").length, 1);  // a surrogate
  EXPECT_EQ(utf8_step("\xF4\x90\x80\x80").length, 1);
}

TEST(Utf8, EncodesWhatItDecodes) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    const std::string text = utf8({&c, 1});
    ASSERT_EQ(reference_length(text), text.size());
    ASSERT_EQ(decode_utf8(text), c);
  }
}

TEST(Utf8, FindsTheValidPrefix) {
  EXPECT_EQ(valid_utf8_prefix(""), 0u);
  EXPECT_EQ(valid_utf8_prefix("abc"), 3u);
  EXPECT_EQ(valid_utf8_prefix("a\xE4\xBD\xA0\xE4\xBD"), 4u);
  EXPECT_EQ(valid_utf8_prefix("\x80"), 0u);
}

TEST(Utf8, WhatIsInvalidIsReplaced) {
  EXPECT_EQ(well_formed(""), "");
  EXPECT_EQ(well_formed("a\xE4\xBD\xA0"), "a\xE4\xBD\xA0");
  EXPECT_EQ(well_formed(std::string_view("\xFF\0\xE4\xBD"
                                         "b\x80\xE4",
                                         7)),
            std::string_view("\xEF\xBF\xBD\0\xEF\xBF\xBD"
                             "b\xEF\xBF\xBD\xEF\xBF\xBD",
                             14));
}

TEST(ByteAlphabet, IsGpt2s) {
  EXPECT_EQ(byte_to_char('a'), "a");
  EXPECT_EQ(byte_to_char(' '), "\xC4\xA0");   // U+0120
  EXPECT_EQ(byte_to_char('\n'), "\xC4\x8A");  // U+010A
  EXPECT_EQ(byte_to_char(0x00), "\xC4\x80");  // U+0100
  EXPECT_EQ(byte_to_char(0xAD), "\xC5\x83");  // U+0143, the last
  EXPECT_EQ(byte_to_char(0xFF), "\xC3\xBF");  // itself
  for (unsigned byte = 0; byte < 256; ++byte) {
    const auto back = alphabet_to_bytes(byte_to_char(static_cast<uint8_t>(byte)));
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, std::string(1, static_cast<char>(byte)));
  }
}

TEST(ByteAlphabet, RefusesOtherCharacters) {
  for (const char* text : {" ", "\n", "a b", "\xC5\x84", "\xE4\xBD\xA0", "\x80", "\xC4"}) {
    EXPECT_FALSE(alphabet_to_bytes(text)) << text;
  }
}

std::string nfc_of(std::u32string_view points) {
  std::string buffer;
  return std::string(nfc(utf8(points), buffer));
}

TEST(Nfc, ComposesAndReorders) {
  EXPECT_EQ(nfc_of(U"e\u0301"), utf8(U"\u00E9"));
  EXPECT_EQ(nfc_of(U"xe\u0301y"), utf8(U"x\u00E9y"));
  EXPECT_EQ(nfc_of(U"q\u0307\u0323"), utf8(U"q\u0323\u0307"));
  EXPECT_EQ(nfc_of(U"s\u0307\u0323"), utf8(U"\u1E69"));
  EXPECT_EQ(nfc_of(U"\u1112\u1161\u11AB"), utf8(U"\uD55C"));
  EXPECT_EQ(nfc_of(U"\u212B"), utf8(U"\u00C5"));
  EXPECT_EQ(nfc_of(U"\u0958"), utf8(U"\u0915\u093C"));  // excluded from composition
  EXPECT_EQ(nfc_of(U"\uFB01"), utf8(U"\uFB01"));        // only compatibility
  EXPECT_EQ(nfc_of(U">\u0338"), utf8(U"\u226F"));
}

TEST(Nfc, LeavesPlainTextWhereItIs) {
  const std::string text = "na\xC3\xAFve caf\xC3\xA9\n";
  std::string buffer;
  EXPECT_EQ(nfc(text, buffer).data(), text.data());
}

TEST(Nfc, AgreesWithUtf8proc) {
  constexpr std::u32string_view kPool =
      U"aeo "
      U"q\u00E9\u0300\u0301\u0307\u0316\u0323\u0327\u0338\u0345\u05B0\u05B4\u0591\u0915\u093C\u0958"
      U"\u1100\u1161\u11A8\uAC00\u0B47\u0B3E\u0F71\u0F72\u4E2D\uFB1D\U0001D15E\U000E0100\U00011131";
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (auto n = random() % 24; n > 0; --n) append_utf8(kPool[random() % kPool.size()], text);
    auto* want = utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str()));
    std::string buffer;
    ASSERT_EQ(nfc(text, buffer), reinterpret_cast<const char*>(want)) << text;
    std::free(want);
  }
}

}  // namespace
}  // namespace st
