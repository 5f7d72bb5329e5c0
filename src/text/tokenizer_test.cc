#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "base/json.h"
#include "base/memory.h"
#include "support/vocabularies.h"
#include "text/pretokenize.h"
#include "text/utf8.h"

namespace st {
namespace {

using nlohmann::json;
using testkit::add_token;
using testkit::byte_vocab;
using testkit::error_of;
using testkit::tiny_tokenizer;
using Tokens = std::vector<Token>;

json golden(const std::string& name) {
  return parse_json(read_text_file(testkit::kGoldenFolder + "/" + name));
}

void expect_golden(const Tokenizer& tokenizer) {
  const json cases = golden("tokenizer.json");
  ASSERT_GT(cases["cases"].size(), 30u);
  ASSERT_FALSE(cases["no_special"].empty());
  for (const char* group : {"cases", "no_special"}) {
    const bool parse_special = group == std::string_view("cases");
    for (const json& item : cases[group]) {
      const auto text = item["text"].get<std::string>();
      EXPECT_EQ(tokenizer.encode(text, parse_special), item["ids"].get<Tokens>()) << text;
    }
  }
  const json prompts = golden("prompts.json");
  ASSERT_GT(prompts["prompts"].size(), 5u);
  for (const json& item : prompts["prompts"]) {
    const auto text = item["prompt"].get<std::string>();
    const auto parse_special = item["parse_special"].get<bool>();
    EXPECT_EQ(tokenizer.encode(text, parse_special), item["ids"].get<Tokens>()) << text;
  }
}

TEST(Tokenizer, GoldenFromHfFolder) { expect_golden(tiny_tokenizer()); }

TEST(Tokenizer, GoldenFromGguf) {
  GgufWriter writer;
  write_gguf_vocab(tiny_tokenizer().vocab(), writer);
  expect_golden(Tokenizer(read_gguf_vocab(testkit::written(writer))));
}

TEST(Tokenizer, GoldenWithoutTheTextsOfItsVocabulary) {
  Tokenizer tokenizer(Vocab(tiny_tokenizer().vocab()));
  tokenizer.forget_texts();
  EXPECT_EQ(tokenizer.vocab().tokens.capacity() + tokenizer.vocab().merges.capacity(), 0u);
  EXPECT_EQ(tokenizer.size(), tiny_tokenizer().size());
  expect_golden(tokenizer);
  for (Token id = 0; id < tokenizer.size(); ++id) {
    for (const bool special : {false, true}) {
      ASSERT_EQ(tokenizer.piece(id, special), tiny_tokenizer().piece(id, special));
    }
  }
}

TEST(Tokenizer, GoldenPiecesOfTopTokens) {
  const json prompts = golden("prompts.json");
  for (const json& item : prompts["prompts"]) {
    for (const json& top : item["top10"]) {
      const auto text = top["text"].get<std::string>();
      if (text.find("\uFFFD") != std::string::npos) continue;  // half a character
      EXPECT_EQ(tiny_tokenizer().piece(top["id"].get<Token>(), true), text);
    }
  }
}

TEST(Tokenizer, DecodesToTheNormalisedText) {
  const json cases = golden("tokenizer.json");
  for (const json& item : cases["cases"]) {
    const auto text = item["text"].get<std::string>();
    std::string buffer;
    EXPECT_EQ(tiny_tokenizer().decode(item["ids"].get<Tokens>(), true), nfc(text, buffer));
  }
}

TEST(Tokenizer, AnyBytesComeBack) {
  Vocab vocab = tiny_tokenizer().vocab();
  vocab.nfc = false;  // normalisation may change text, nothing else may
  const Tokenizer tokenizer(std::move(vocab));
  constexpr std::string_view kNearUtf8 = "caf\xC3\xA9 \xE4\xBD\xA0<|im_end|>\n";
  std::mt19937 random(1);
  for (int round = 0; round < 2'000; ++round) {
    std::string text;
    for (auto n = random() % 60; n > 0; --n) {
      text += round % 2 == 0 ? kNearUtf8[random() % kNearUtf8.size()] : static_cast<char>(random());
    }
    for (const bool parse_special : {false, true}) {
      ASSERT_EQ(tokenizer.decode(tokenizer.encode(text, parse_special), true), text);
    }
  }
}

TEST(Tokenizer, InvalidBytesArePiecesOfTheirOwn) {
  const Tokenizer tokenizer(byte_vocab({"a \xC3\xBF", "\xC3\xBF \xC3\xBF"}));  // U+00FF: byte FF
  EXPECT_EQ(tokenizer.encode("a\xFF\xFF"
                             "b\xE4",
                             false),
            (Tokens{'a', 257, 'b', 0xE4}));
  // The stretches on both sides are normalised.
  EXPECT_EQ(tokenizer.encode("e\u0301\xFF"
                             "e\u0301",
                             false),
            (Tokens{0xC3, 0xA9, 0xFF, 0xC3, 0xA9}));
}

TEST(Tokenizer, NormalisesOnlyIfTheVocabularySaysSo) {
  Vocab vocab = byte_vocab();
  vocab.nfc = false;
  EXPECT_EQ(Tokenizer(vocab).encode("e\u0301", false), (Tokens{'e', 0xCC, 0x81}));
  vocab.nfc = true;
  EXPECT_EQ(Tokenizer(vocab).encode("e\u0301", false), (Tokens{0xC3, 0xA9}));
}

class AddedTokens : public testing::Test {
 protected:
  static Vocab vocab() {
    Vocab vocab = byte_vocab({"h i"});                     // 256
    add_token(vocab, "<|stop|>", TokenType::kControl);     // 257
    add_token(vocab, "<think>", TokenType::kUserDefined);  // 258
    add_token(vocab, "[PAD259]", TokenType::kUnused);      // 259
    add_token(vocab, "<unk>", TokenType::kUnknown);        // 260
    vocab.end_of_generation = {258, 257};
    return vocab;
  }
  Tokenizer tokenizer{vocab()};
};

TEST_F(AddedTokens, ControlOnlyIfAskedUserDefinedAlways) {
  EXPECT_EQ(tokenizer.encode("hi<|stop|><think>hi", true), (Tokens{256, 257, 258, 256}));
  EXPECT_EQ(tokenizer.encode("<|stop|><think>[PAD259]<unk>", false),
            (Tokens{'<', '|', 's', 't', 'o', 'p', '|', '>', 258, '[', 'P',
                    'A', 'D', '2', '5', '9', ']', '<', 'u', 'n', 'k', '>'}));
}

TEST_F(AddedTokens, MatchBeforeNormalisation) {
  EXPECT_EQ(tokenizer.encode("<think>\u0338", false), (Tokens{258, 0xCC, 0xB8}));
}

TEST_F(AddedTokens, Pieces) {
  EXPECT_EQ(tokenizer.piece(256, false), "hi");
  EXPECT_EQ(tokenizer.piece(' ', false), " ");
  EXPECT_EQ(tokenizer.piece(0, false), std::string(1, '\0'));
  EXPECT_EQ(tokenizer.piece(257, false), "");
  EXPECT_EQ(tokenizer.piece(257, true), "<|stop|>");
  EXPECT_EQ(tokenizer.piece(258, false), "<think>");
  EXPECT_EQ(tokenizer.piece(259, true), "");
  EXPECT_EQ(tokenizer.piece(260, false), "");
  EXPECT_EQ(tokenizer.decode(Tokens{256, 257, 258}, false), "hi<think>");
  EXPECT_EQ(tokenizer.decode(Tokens{256, 257, 258}, true), "hi<|stop|><think>");
}

TEST_F(AddedTokens, EndOfGenerationInAnyOrder) {
  EXPECT_TRUE(tokenizer.is_end_of_generation(257));
  EXPECT_TRUE(tokenizer.is_end_of_generation(258));
  EXPECT_FALSE(tokenizer.is_end_of_generation(256));
  EXPECT_FALSE(tokenizer.is_end_of_generation(-1));
}

TEST(Tokenizer, RefusesVocabulariesThatContradictThemselves) {
  const auto error_with = [](auto change) {
    Vocab vocab = byte_vocab();
    change(vocab);
    return error_of([&] { Tokenizer{vocab}; });
  };
  EXPECT_EQ(error_with([](Vocab&) {}), "no error");
  EXPECT_EQ(error_with([](Vocab& v) { v = Vocab(); }), "0 tokens, want 1..2^24");
  EXPECT_EQ(error_with([](Vocab& v) { v.types.pop_back(); }), "255 token types for 256 tokens");
  EXPECT_EQ(error_with([](Vocab& v) { v.bos = 256; }), "bos token 256, want -1..255");
  EXPECT_EQ(error_with([](Vocab& v) { v.eos = -2; }), "eos token -2, want -1..255");
  EXPECT_EQ(error_with([](Vocab& v) { v.pad = INT32_MAX; }),
            "padding token 2147483647, want -1..255");
  EXPECT_EQ(error_with([](Vocab& v) { v.end_of_generation = {-1}; }),
            "end-of-generation token -1, want 0..255");
  EXPECT_EQ(error_with([](Vocab& v) { v.pre = "gpt-2"; }),
            "pre-tokenizer 'gpt-2': only 'qwen2' is supported");
  EXPECT_EQ(error_with([](Vocab& v) { add_token(v, "", TokenType::kControl); }),
            "tokens[256]: special token of 0 bytes, want 1..256");
}

TEST(Tokenizer, RefusesTextOfTwoGigabytes) {
  const MemoryRegion zeros(uint64_t{1} << 31);
  const std::string_view text(reinterpret_cast<const char*>(zeros.data()), zeros.size());
  EXPECT_EQ(error_of([&] { tiny_tokenizer().encode(text, true); }),
            "text: 2147483648 bytes > 2147483647");
}

TEST(Tokenizer, ServesManyThreads) {
  const std::string text = read_text_file(testkit::kTinyFolder + "/../valid.txt");
  const Tokens want = tiny_tokenizer().encode(text, true);
  std::vector<Tokens> got(4);
  std::vector<std::thread> threads;
  for (Tokens& tokens : got) {
    threads.emplace_back([&] { tokens = tiny_tokenizer().encode(text, true); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Tokens& tokens : got) EXPECT_EQ(tokens, want);
}

// A megabyte of anything takes a fraction of a second; what is quadratic takes minutes. Under a
// sanitizer 128 KiB do: more than 16 bits count.
void expect_quick(const Tokenizer& tokenizer, std::string_view unit) {
  constexpr size_t kBytes = size_t{1} << (testkit::kSanitized ? 17 : 20);
  const std::string text = testkit::repeat(unit, kBytes / unit.size());
  const auto start = std::chrono::steady_clock::now();
  const Tokens tokens = tokenizer.encode(text, true);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(), 15) << unit;
  std::string buffer;
  const bool valid = valid_utf8_prefix(text) == text.size();
  EXPECT_EQ(tokenizer.decode(tokens, true), valid ? nfc(text, buffer) : text) << unit;
}

TEST(Tokenizer, TimeIsLinear) {
  for (const char* unit : {"a",
                           " ",
                           "\n",
                           "\r\n",
                           "^",
                           "us",
                           "'",
                           "'s",
                           "0",
                           "\n ",
                           " a",
                           "\u00A0",
                           "\u4E2D",
                           "\u0301",
                           "\u0301\u0316",
                           "e\u0301",
                           "\u1112\u1161\u11AB",
                           "\xFF",
                           "\xE4",
                           "\xF0\x9F\x98",
                           "a\xFF",
                           "<|",
                           "<|im_end",
                           "<|im_end|>",
                           "<|im_start|>\u0301"}) {
    expect_quick(tiny_tokenizer(), unit);
  }
}

TEST(Tokenizer, TimeIsLinearWithHostileTokens) {
  std::vector<std::string> merges;
  for (size_t n = 1; n <= 4096; n *= 2)
    merges.push_back(std::string(n, 'a') + ' ' + std::string(n, 'a'));
  Vocab vocab = byte_vocab(merges);
  for (size_t n = 1; n < 256; ++n) add_token(vocab, std::string(n, 'b') + 'c', TokenType::kControl);
  const Tokenizer tokenizer(std::move(vocab));
  expect_quick(tokenizer, "a");
  expect_quick(tokenizer, "b");
}

}  // namespace
}  // namespace st
