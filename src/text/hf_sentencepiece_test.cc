#include "text/hf_sentencepiece.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "support/damage.h"
#include "support/vocabularies.h"

namespace st {
namespace {

using nlohmann::json;
using testkit::error_of;

json micro(const char* file = "tokenizer.json") {
  return parse_json(read_text_file(testkit::shipped_model(std::string("micro-gemma3n/") + file)));
}

Vocab parse(const json& tokenizer, const json& config = micro("tokenizer_config.json")) {
  return parse_hf_vocab({.tokenizer = tokenizer.dump(), .tokenizer_config = config.dump()}, 0);
}

// The error of a tokenizer.json with `value` at the JSON pointer `path`; without the file's name.
std::string error_with(const char* path, const json& value) {
  json tokenizer = micro();
  tokenizer[json::json_pointer(path)] = value;
  const std::string error = error_of([&] { Tokenizer{parse(tokenizer)}; });
  constexpr std::string_view kFile = "tokenizer.json: ";
  return error.starts_with(kFile) ? error.substr(kFile.size()) : error;
}

TEST(HfSentencePiece, TypesAndScores) {
  const Vocab vocab = parse_hf_vocab({.tokenizer = micro().dump()}, 504);
  ASSERT_EQ(vocab.tokens.size(), 504u);
  ASSERT_EQ(vocab.scores.size(), 504u);
  EXPECT_EQ(vocab.kind, TokenizerKind::kSentencePiece);
  EXPECT_TRUE(vocab.merges.empty());
  EXPECT_EQ(vocab.types[2], TokenType::kControl);
  EXPECT_EQ(vocab.types[4], TokenType::kUserDefined);  // <mask>
  EXPECT_EQ(vocab.types[13], TokenType::kUserDefined);
  EXPECT_EQ(vocab.types[21], TokenType::kByte);
  EXPECT_EQ(vocab.types[277], TokenType::kNormal);
  EXPECT_EQ(vocab.types[503], TokenType::kUnused);
  EXPECT_EQ(vocab.scores[2], -1000);
  EXPECT_EQ(vocab.scores[13], -1000);
  EXPECT_EQ(vocab.scores[21], 0);
  EXPECT_EQ(vocab.scores[277], -1);  // the first that comes of a merge
  EXPECT_EQ(vocab.scores[278], -2);
  EXPECT_EQ(vocab.scores[493], -217);  // the last character
  EXPECT_EQ(vocab.scores[503], -10'000);
  EXPECT_EQ(vocab.bos, 2);  // from the post-processor
  EXPECT_TRUE(vocab.add_bos);
}

TEST(HfSentencePiece, IsWrittenAsLlamaCppsConverterDoes) {
  GgufWriter writer;
  write_gguf_vocab(parse(micro()), writer);
  const GgufFile file = testkit::written(writer);
  const json expected = micro("gguf-expected.json");
  size_t compared = 0;
  for (const auto& [key, entry] : expected["kv"].items()) {
    if (!key.starts_with("tokenizer.ggml.")) continue;
    const GgufValue* value = file.find(key);
    ASSERT_NE(value, nullptr) << key;
    const json& want = entry["value"];
    if (const auto* array = std::get_if<GgufArray>(&value->value)) {
      EXPECT_EQ(fmt::format("array of {}", array->count), want) << key;
    } else if (const auto* text = std::get_if<std::string>(&value->value)) {
      EXPECT_EQ(*text, want) << key;
    } else if (const auto* flag = std::get_if<bool>(&value->value)) {
      EXPECT_EQ(*flag, want) << key;
    } else {
      EXPECT_EQ(file.get_u32(key), want) << key;
    }
    ++compared;
  }
  EXPECT_EQ(compared, 12u);
  const auto type = [&](size_t id) {
    return file.find_integers("tokenizer.ggml.token_type")->integer(id);
  };
  EXPECT_EQ(file.find_strings("tokenizer.ggml.tokens")->strings[14], "   ");  // was U+2581s
  EXPECT_EQ(file.find_strings("tokenizer.ggml.tokens")->strings[277], "\u2581t");
  EXPECT_EQ(type(14), 4);
  EXPECT_EQ(type(4), 3);    // <mask>
  EXPECT_EQ(type(496), 3);  // <unused2>
  EXPECT_EQ(type(17), 4);   // <table>
  EXPECT_EQ(type(21), 6);
}

TEST(HfSentencePiece, RefusesOtherParts) {
  EXPECT_EQ(error_with("/normalizer/content", "_").substr(0, 12), "normalizer: ");
  EXPECT_EQ(error_with("/normalizer", nullptr),
            "normalizer: null unsupported, want {\"type\": \"Replace\", \"pattern\": {\"String\": "
            "\" \"}, \"content\": \"\\u2581\"}");
  EXPECT_EQ(error_with("/pre_tokenizer/invert", true).substr(0, 15), "pre_tokenizer: ");
  EXPECT_EQ(error_with("/pre_tokenizer", nullptr), "no error");
  EXPECT_EQ(error_with("/decoder/decoders/2/type", "Strip").substr(0, 9), "decoder: ");
  EXPECT_EQ(error_with("/post_processor/single/0/SpecialToken/id", "<nope>"),
            "post_processor: '<nope>' not in vocab");
  EXPECT_EQ(error_with("/post_processor/single", json::array()),
            "post_processor: want TemplateProcessing with at most one token before the text");
  EXPECT_EQ(error_with("/post_processor/single/0/SpecialToken/id", "<eos>"),
            "tokenizer_config.json: bos_token: token 2, but tokenizer.json puts 1 before a text");
  EXPECT_EQ(error_with("/model/ignore_merges", true), "model: ignore_merges is not supported");
  EXPECT_EQ(error_with("/model/byte_fallback", false),
            "normalizer: type 'Replace' is not supported");
}

TEST(HfSentencePiece, TheConfigurationDecidesOnBos) {
  json config = micro("tokenizer_config.json");
  config["add_bos_token"] = false;
  EXPECT_FALSE(parse(micro(), config).add_bos);
  json tokenizer = micro();
  tokenizer["post_processor"] = nullptr;
  EXPECT_TRUE(parse(tokenizer).add_bos);
  config["add_bos_token"] = nullptr;
  EXPECT_FALSE(parse(tokenizer, config).add_bos);
}

TEST(HfSentencePiece, RefusesMergesThatScoresCannotSay) {
  const auto error_of_merges = [](auto change) {
    json tokenizer = micro();
    change(tokenizer["model"]["merges"]);
    return error_of([&] { parse(tokenizer); });
  };
  const auto pair = [](const char* left, const char* right) { return json::array({left, right}); };
  const auto error_of_swap = [&](size_t i, size_t j) {
    return error_of_merges([&](json& m) { std::swap(m[i], m[j]); });
  };
  EXPECT_EQ(error_of_swap(22, 23), "no error");  // of one piece
  EXPECT_EQ(error_of_swap(20, 21), "no error");
  EXPECT_EQ(
      error_of_swap(22, 25),
      "tokenizer.json: merges[25]: '\u2581the' comes of earlier merges too: no score says so");
  EXPECT_EQ(error_of_swap(15, 16),
            "tokenizer.json: merges[16]: a run of blanks must come before '\u2581t'");
  EXPECT_EQ(error_of_swap(13, 15),
            "tokenizer.json: merges[15]: a run of blanks must come before 'two blanks'");
  EXPECT_EQ(error_of_merges([](json& m) { m.erase(m.size() - 1); }),
            "tokenizer.json: model: 0 merges into 'us' of 1 that scores would allow");
  EXPECT_EQ(error_of_merges([&](json& m) { m.push_back(pair("x", "q")); }),
            "tokenizer.json: merges[186]: 'xq' not in vocab");
  EXPECT_EQ(error_of_merges([&](json& m) { m.push_back(pair("u", "s")); }),
            "tokenizer.json: model: 2 merges into 'us' of 1 that scores would allow");
}

TEST(HfSentencePiece, SurvivesDamage) {
  testkit::expect_survives_damage(micro().dump(), 97, 300, 2, [](const std::string& text) {
    return Tokenizer(parse_hf_vocab({.tokenizer = text}, 0)).size() > 0;
  });
}

}  // namespace
}  // namespace st
