#include "text/sentencepiece.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "base/json.h"
#include "support/vocabularies.h"
#include "text/tokenizer.h"

namespace st {
namespace {

using nlohmann::json;
using testkit::add_token;
using testkit::error_of;
using testkit::piece_vocab;
using Tokens = std::vector<Token>;

const std::vector<std::string> kMicroModels = {
    "micro-gemma3n",      "micro-gemma3n-odd", "micro-gemma3n-e2b-style", "micro-qwen3",
    "micro-qwen3-untied", "micro-qwen3moe",    "micro-qwen3moe-odd"};

Tokens with_bos(const Tokenizer& tokenizer, std::string_view text, bool parse_special = true) {
  TextEncoder encoder(tokenizer, parse_special);
  Tokens out;
  encoder.add(text, out);
  encoder.finish(out);
  return out;
}

Vocab by_gguf(const Vocab& vocab) {
  GgufWriter writer;
  write_gguf_vocab(vocab, writer);
  return read_gguf_vocab(testkit::written(writer));
}

// What transformers and three independent tokenizers say of the micro models' vocabularies.
void expect_golden(const Tokenizer& tokenizer, const std::string& model) {
  const json golden = parse_json(read_text_file(testkit::shipped_model(model + "/golden.json")));
  ASSERT_GE(golden["tokenizer"].size(), 40u);
  for (const json& item : golden["tokenizer"]) {
    const auto text = item["text"].get<std::string>();
    auto ids = item["ids"].get<Tokens>();
    // Hugging Face puts BOS before a text that begins with it; we do not.
    if (ids.size() > 1 && ids[0] == ids[1] && text.starts_with("<bos>")) ids.erase(ids.begin());
    EXPECT_EQ(with_bos(tokenizer, text), ids) << model << ": " << text;
    if (tokenizer.vocab().kind != TokenizerKind::kSentencePiece) continue;
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, true), true), with_blanks(text));
  }
  for (const json& item : golden["chat"]) {
    EXPECT_EQ(tokenizer.encode(item["text"].get<std::string>(), true), item["ids"].get<Tokens>());
  }
  for (const json& item : golden["prompts"]) {
    if (item["text"].is_null()) continue;
    const auto text = item["text"].get<std::string>();
    EXPECT_EQ(item["add_special_tokens"].get<bool>() ? with_bos(tokenizer, text)
                                                     : tokenizer.encode(text, true),
              item["ids"].get<Tokens>());
  }
}

TEST(SentencePiece, GoldenOfAllFamilies) {
  for (const std::string& model : kMicroModels) {
    const Tokenizer tokenizer(read_hf_vocab(testkit::shipped_model(model), 0));
    expect_golden(tokenizer, model);
    Tokenizer from_gguf(by_gguf(tokenizer.vocab()));
    from_gguf.forget_texts();
    expect_golden(from_gguf, model);
  }
}

Tokens encode(const Vocab& vocab, std::string_view text) {
  return Tokenizer(vocab).encode(text, false);
}

TEST(SentencePiece, MergesTheHighestScoreAndTheLeftmost) {
  const Vocab vocab = piece_vocab({"bc", "ab", "aa", "aaa", "a", "b", "c"});  // 256 ...
  EXPECT_EQ(encode(vocab, "abc"), (Tokens{260, 256}));
  EXPECT_EQ(encode(vocab, "ab"), (Tokens{257}));
  EXPECT_EQ(encode(vocab, "aaaa"), (Tokens{258, 258}));  // before the third joins
  EXPECT_EQ(encode(vocab, "aaaaa"), (Tokens{258, 259}));
  EXPECT_EQ(encode(vocab, ""), Tokens());
}

TEST(SentencePiece, EqualScoresMergeFromTheLeft) {
  Vocab vocab = piece_vocab({"bc", "ab", "a", "b", "c"});
  vocab.scores[256] = vocab.scores[257];
  EXPECT_EQ(encode(vocab, "abc"), (Tokens{257, 260}));
}

TEST(SentencePiece, WhatIsNoPieceBecomesItsBytes) {
  const Vocab vocab = piece_vocab({"a\u00E9", "aa", "a"});
  EXPECT_EQ(encode(vocab,
                   "a\u00E9"
                   "aa"),
            (Tokens{258, 0xC3, 0xA9, 257}));  // its character is no piece, and merges with nothing
  EXPECT_EQ(encode(vocab,
                   "\xFF"
                   "aa\xE4\xB8"),
            (Tokens{0xFF, 257, 0xE4, 0xB8}));
  EXPECT_EQ(encode(vocab, std::string_view("\0<0x41>", 7)),
            (Tokens{0, '<', '0', 'x', '4', '1', '>'}));
}

TEST(SentencePiece, BlanksAndTheirMarksAreOne) {
  Vocab vocab = piece_vocab({"\u2581a", "a", "\u2581"});            // 256 ...
  add_token(vocab, "\u2581\u2581", TokenType::kUserDefined);        // 259
  add_token(vocab, "\u2581\u2581\u2581", TokenType::kUserDefined);  // 260
  vocab.scores.resize(vocab.tokens.size(), -1000);
  EXPECT_EQ(encode(vocab, " a"), (Tokens{256}));
  EXPECT_EQ(encode(vocab,
                   "\u2581"
                   "a"),
            (Tokens{256}));
  EXPECT_EQ(encode(vocab, "   a"), (Tokens{260, 257}));  // runs come first
  EXPECT_EQ(encode(vocab, "       "), (Tokens{260, 260, 258}));
  // Marks in the text are an added token, blanks are not: of three, two are cut out first.
  EXPECT_EQ(encode(vocab, "\u2581\u2581 a"), (Tokens{259, 256}));
  EXPECT_EQ(encode(vocab, "  \u2581"), (Tokens{260}));
  const Tokenizer tokenizer(by_gguf(vocab));
  EXPECT_EQ(tokenizer.encode("\u2581\u2581 a   a", false), (Tokens{259, 256, 260, 257}));
  EXPECT_EQ(tokenizer.decode(Tokens{259, 256, 260, 257}, false), "   a   a");
}

TEST(SentencePiece, AnyBytesComeBack) {
  const Tokenizer tokenizer(read_hf_vocab(testkit::shipped_model("micro-gemma3n"), 0));
  constexpr std::string_view kNear = "the  \xE2\x96\x81 caf\xC3\xA9<end_of_turn><b>\n\n\n";
  std::mt19937 random(1);
  for (int round = 0; round < 2'000; ++round) {
    std::string text;
    for (auto n = random() % 60; n > 0; --n) {
      text += round % 2 == 0 ? kNear[random() % kNear.size()] : static_cast<char>(random());
    }
    for (const bool parse_special : {false, true}) {
      ASSERT_EQ(tokenizer.decode(tokenizer.encode(text, parse_special), true), with_blanks(text));
    }
  }
}

TEST(SentencePiece, BytesOfACharacterAreHeldBack) {
  const Tokenizer tokenizer(piece_vocab());
  StreamDecoder decoder;
  std::string text;
  for (const Token id : tokenizer.encode("\u4E2D\U0001F600", false)) {
    text += decoder.push(tokenizer.piece(id, false)) + "|";
  }
  EXPECT_EQ(text + decoder.finish(), "||\u4E2D||||\U0001F600|");
}

TEST(SentencePiece, PutsBosInFrontOnce) {
  const Tokenizer tokenizer(read_hf_vocab(testkit::shipped_model("micro-gemma3n"), 0));
  EXPECT_EQ(with_bos(tokenizer, ""), (Tokens{2}));
  EXPECT_EQ(with_bos(tokenizer, "a"), (Tokens{2, 430}));
  EXPECT_EQ(with_bos(tokenizer, "<bos>a"), (Tokens{2, 430}));
  EXPECT_EQ(with_bos(tokenizer, "<bos><bos>a"), (Tokens{2, 2, 430}));
  EXPECT_EQ(with_bos(tokenizer, "<bos>", false).front(), 2);
  EXPECT_GT(with_bos(tokenizer, "<bos>", false).size(), 3u);
  const std::string text = testkit::repeat("a b\n", 100'000);
  EXPECT_EQ(std::ranges::count(with_bos(tokenizer, text), 2), 1);
}

TEST(SentencePiece, EndsOfGeneration) {
  for (const char* model : {"micro-gemma3n", "micro-gemma3n-odd"}) {
    const Vocab vocab = read_hf_vocab(testkit::shipped_model(model), 0);
    EXPECT_EQ(vocab.end_of_generation, (Tokens{1, 8})) << model;
    EXPECT_EQ(std::tuple(vocab.bos, vocab.eos, vocab.pad, vocab.unk), std::tuple(2, 1, 0, 3));
    EXPECT_TRUE(vocab.add_bos);
  }
}

// Parts end where no piece crosses: their tokens are those of the whole.
TEST(SentencePiece, PartsHaveTheTokensOfTheWhole) {
  const Tokenizer tokenizer(read_hf_vocab(testkit::shipped_model("micro-gemma3n"), 0));
  const std::vector<std::string> kParts = {
      "the",  " ",        "  ",        "\u2581", "\u2581\u2581", "said",     ".",
      "e,",   "\n",       "\n\n",      "<b>",    "</table>",     "\xE4\xB8", "\xFF",
      "\xE2", "\x96\x81", "caf\u00E9", "\u4E2D", "<bos>",        "<end_of_", "very"};
  std::mt19937 random(3);
  for (const bool parse_special : {false, true}) {
    std::string text;
    for (int i = 0; i < 60'000; ++i) text += kParts[random() % kParts.size()];
    TextEncoder encoder(tokenizer, parse_special);
    Tokens tokens;
    for (size_t at = 0; at < text.size();) {
      const size_t n = std::min<size_t>(text.size() - at, 1 + random() % 50'000);
      encoder.add(std::string_view(text).substr(at, n), tokens);
      at += n;
      ASSERT_LT(encoder.bytes(), uint64_t{16} << 20);
    }
    encoder.finish(tokens);
    Tokens whole = tokenizer.encode(text, parse_special);
    if (whole.front() != 2) whole.insert(whole.begin(), 2);
    ASSERT_EQ(tokens, whole);
  }
}

// Twice the text takes twice the time; what is quadratic takes four times as much, however often it
// is measured.
void expect_linear(const Tokenizer& tokenizer, std::string_view unit) {
  const auto seconds = [&](size_t bytes) {
    const std::string text = testkit::repeat(unit, bytes / unit.size());
    return testkit::cpu_seconds([&] { tokenizer.encode(text, true); });
  };
  constexpr size_t kBytes = size_t{1} << (testkit::kSanitized ? 16 : 19);
  double once = 0, twice = 1;
  for (int round = 0; round < 3 && twice > 3 * once + 0.01; ++round) {
    once = seconds(kBytes);
    twice = seconds(2 * kBytes);
  }
  EXPECT_LE(twice, 3 * once + 0.01) << unit;
  EXPECT_LT(twice, testkit::kPatience) << unit;
}

TEST(SentencePiece, TimeIsLinear) {
  const Tokenizer micro(read_hf_vocab(testkit::shipped_model("micro-gemma3n"), 0));
  for (const char* unit :
       {"a", " ", "\u2581", "\n", "\u4E2D", "\xFF", "\xE4", " a", "<b>", "<bo"}) {
    expect_linear(micro, unit);
  }
  std::vector<std::string> pieces = {"a"};
  for (size_t n = 2; n <= SentencePiece::kMaxPieceBytes; ++n) pieces.emplace_back(n, 'a');
  expect_linear(Tokenizer(piece_vocab(pieces)), "a");
  std::ranges::reverse(pieces);
  expect_linear(Tokenizer(piece_vocab(pieces)), "a");
}

TEST(SentencePiece, RefusesVocabulariesThatContradictThemselves) {
  const auto error_with = [](auto change) {
    Vocab vocab = piece_vocab({"ab", "a", "b"});
    change(vocab);
    return error_of([&] { Tokenizer{vocab}; });
  };
  EXPECT_EQ(error_with([](Vocab&) {}), "no error");
  EXPECT_EQ(error_with([](Vocab& v) { v.scores.pop_back(); }), "258 scores for 259 tokens");
  EXPECT_EQ(error_with([](Vocab& v) { v.scores[257] = NAN; }),
            "scores[257]: nan, want a finite number");
  EXPECT_EQ(error_with([](Vocab& v) { v.scores[256] = -INFINITY; }),
            "scores[256]: -inf, want a finite number");
  EXPECT_EQ(error_with([](Vocab& v) { v.types[0x41] = TokenType::kUnused; }),
            "tokens: none for byte 0x41");
  EXPECT_EQ(error_with([](Vocab& v) { v.tokens[0x42] = "<0x41>"; }),
            "tokens[66]: byte 0x41 is also token 65");
  EXPECT_EQ(error_with([](Vocab& v) { v.tokens[0x42] = "<0x4g>"; }),
            "tokens[66]: '<0x4g>' is no byte, want <0x00>..<0xFF>");
  EXPECT_EQ(error_with([](Vocab& v) { v.types[256] = TokenType::kByte; }),
            "tokens[256]: 'ab' is no byte, want <0x00>..<0xFF>");
  EXPECT_EQ(error_with([](Vocab& v) { v.tokens[256] = ""; }),
            "tokens[256]: piece of 0 bytes, want 1..256");
  EXPECT_EQ(error_with([](Vocab& v) { v.tokens[256] = std::string(257, 'a'); }),
            "tokens[256]: piece of 257 bytes, want 1..256");
  EXPECT_EQ(error_with([](Vocab& v) { v.tokens[256] = "a"; }),
            "tokens[257]: 'a' is also token 256");
  EXPECT_EQ(error_with([](Vocab& v) { v.tokens[256] = "a b"; }),
            "tokens[256]: 'a b' has a blank, want U+2581 for it");
  EXPECT_EQ(error_with([](Vocab& v) { v.add_bos = true; }), "add_bos_token true, and no bos token");
}

}  // namespace
}  // namespace st
