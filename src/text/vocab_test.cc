#include "text/vocab.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "support/vocabularies.h"

namespace st {
namespace {

using testkit::add_token;
using testkit::byte_vocab;
using testkit::error_of;
using testkit::written;

GgufValue strings(std::vector<std::string> values) {
  return GgufValue::array(GgufArray::of(std::move(values)));
}
GgufValue ints(const std::vector<int32_t>& values) {
  return GgufValue::array(GgufArray::of(values));
}

Vocab full_vocab() {
  Vocab vocab = byte_vocab({"h i", "\xC4\xA0 t"});
  add_token(vocab, "<|im_end|>", TokenType::kControl);   // 258
  add_token(vocab, "<think>", TokenType::kUserDefined);  // 259
  add_token(vocab, "[PAD260]", TokenType::kUnused);      // 260
  vocab.bos = 0, vocab.eos = 258, vocab.pad = 1;
  vocab.add_bos = true;
  vocab.end_of_generation = {7, 258};
  vocab.chat_template = "{{ 'x' }}\n";
  vocab.named_chat_templates = {{"rag", "{{ 'r' }}"}, {"tool_use", "{{ 't' }}"}};
  return vocab;
}

void expect_equal(const Vocab& a, const Vocab& b) {
  EXPECT_EQ(a.pre, b.pre);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.types, b.types);
  EXPECT_EQ(a.merges, b.merges);
  EXPECT_EQ(a.nfc, b.nfc);
  EXPECT_EQ(std::tuple(a.bos, a.eos, a.pad, a.add_bos), std::tuple(b.bos, b.eos, b.pad, b.add_bos));
  EXPECT_EQ(a.end_of_generation, b.end_of_generation);
  EXPECT_EQ(a.chat_template, b.chat_template);
  EXPECT_EQ(a.named_chat_templates, b.named_chat_templates);
}

Vocab there_and_back(const Vocab& vocab) {
  GgufWriter writer;
  write_gguf_vocab(vocab, writer);
  return read_gguf_vocab(written(writer));
}

TEST(GgufVocab, ComesBackAsItWas) {
  Vocab vocab = full_vocab();
  expect_equal(there_and_back(vocab), vocab);
  vocab.nfc = false;
  vocab.bos = vocab.eos = vocab.pad = -1;
  vocab.add_bos = false;
  vocab.chat_template.clear();
  vocab.named_chat_templates.clear();
  expect_equal(there_and_back(vocab), vocab);
  expect_equal(there_and_back(testkit::tiny_tokenizer().vocab()),
               testkit::tiny_tokenizer().vocab());
}

TEST(GgufVocab, HasTheKeysOfLlamaCpp) {
  GgufWriter writer;
  write_gguf_vocab(full_vocab(), writer);
  const GgufFile file = written(writer);
  EXPECT_EQ(*file.find_string("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(*file.find_string("tokenizer.ggml.pre"), "qwen2");
  EXPECT_EQ(file.find_strings("tokenizer.ggml.tokens")->strings[256], "hi");
  EXPECT_EQ(file.find_integers("tokenizer.ggml.token_type")->type, GgufType::kI32);
  EXPECT_EQ(file.find_integers("tokenizer.ggml.token_type")->integer(258), 3);
  EXPECT_EQ(file.find_strings("tokenizer.ggml.merges")->strings[0], "h i");
  EXPECT_EQ(file.get_u32("tokenizer.ggml.bos_token_id"), 0u);
  EXPECT_EQ(file.get_u32("tokenizer.ggml.eos_token_id"), 258u);
  EXPECT_EQ(file.get_u32("tokenizer.ggml.padding_token_id"), 1u);
  EXPECT_EQ(file.find_bool("tokenizer.ggml.add_bos_token"), true);
  EXPECT_EQ(*file.find_string("tokenizer.chat_template"), "{{ 'x' }}\n");
  EXPECT_EQ(*file.find_string("tokenizer.chat_template.tool_use"), "{{ 't' }}");
  EXPECT_EQ(file.find_strings("tokenizer.chat_templates")->strings,
            (std::vector<std::string>{"rag", "tool_use"}));
}

// read_gguf_vocab() of what full_vocab() writes after `change`.
template <typename Change>
Vocab read_changed(Change change) {
  GgufWriter writer;
  write_gguf_vocab(full_vocab(), writer);
  change(writer);
  return read_gguf_vocab(written(writer));
}

std::string error_with(std::string key, GgufValue value) {
  return error_of([&] { read_changed([&](GgufWriter& w) { w.set(key, value); }); });
}

TEST(GgufVocab, RefusesWrongTypesAndCounts) {
  const GgufValue bytes = GgufValue::array({GgufType::kU8, 261, std::vector<std::byte>(261), {}});
  EXPECT_EQ(error_with("tokenizer.ggml.token_type", bytes),
            "tokenizer.ggml.token_type: want array of i32, got u8");
  EXPECT_EQ(error_with("tokenizer.ggml.token_type", GgufValue::u32(1)),
            "tokenizer.ggml.token_type: want array of i32, got u32");
  EXPECT_EQ(error_with("tokenizer.ggml.token_type", ints({1, 1})),
            "tokenizer.ggml.token_type: 2 entries for 261 tokens");
  EXPECT_EQ(error_with("tokenizer.ggml.token_type", ints(std::vector<int32_t>(261, 7))),
            "tokenizer.ggml.token_type[0]: want 1..6, got 7");
  EXPECT_EQ(error_with("tokenizer.ggml.token_type", ints(std::vector<int32_t>(261, -1))),
            "tokenizer.ggml.token_type[0]: want 1..6, got -1");
  EXPECT_EQ(error_with("tokenizer.ggml.tokens", ints({1})),
            "tokenizer.ggml.tokens: want array of string, got i32");
  EXPECT_EQ(error_with("tokenizer.ggml.tokens", strings({"a"})),
            "tokenizer.ggml.token_type: 261 entries for 1 tokens");
  EXPECT_EQ(error_with("tokenizer.ggml.merges", GgufValue::string("a b")),
            "tokenizer.ggml.merges: want array of string, got string");
  EXPECT_EQ(error_with("smallthinker.tokenizer.end_of_generation", strings({"1"})),
            "smallthinker.tokenizer.end_of_generation: want array of i32, got string");
}

TEST(GgufVocab, RefusesIdsThatAreNoToken) {
  EXPECT_EQ(error_with("tokenizer.ggml.bos_token_id", GgufValue::u32(261)),
            "tokenizer.ggml.bos_token_id: 261 is not one of 261 tokens");
  EXPECT_EQ(error_with("tokenizer.ggml.eos_token_id", GgufValue::u32(UINT32_MAX)),
            "tokenizer.ggml.eos_token_id: 4294967295 is not one of 261 tokens");
  EXPECT_EQ(error_with("tokenizer.ggml.padding_token_id", {GgufType::kI32, int64_t{-1}}),
            "key tokenizer.ggml.padding_token_id: want u32, got i32");
  EXPECT_EQ(error_with("smallthinker.tokenizer.end_of_generation", ints({0, -1})),
            "smallthinker.tokenizer.end_of_generation: -1 is not one of 261 tokens");
}

TEST(GgufVocab, RefusesOtherTokenizers) {
  EXPECT_EQ(error_with("tokenizer.ggml.model", GgufValue::string("llama\n")),
            "tokenizer.ggml.model: 'llama\\x0a', only 'gpt2' (byte-level BPE) and 'llama' "
            "(SentencePiece) are supported");
}

Vocab full_piece_vocab() {
  Vocab vocab = testkit::piece_vocab({"ab", "a", "b", "\u2581"});
  add_token(vocab, "\u2581\u2581", TokenType::kUserDefined);  // 260
  add_token(vocab, "<b>", TokenType::kUserDefined);           // 261
  add_token(vocab, "<eos>", TokenType::kControl);             // 262
  vocab.scores.resize(vocab.tokens.size(), -1000);
  vocab.bos = vocab.eos = 262, vocab.pad = 1, vocab.unk = 2;
  vocab.add_bos = true;
  vocab.end_of_generation = {262};
  return vocab;
}

TEST(GgufVocab, PiecesComeBackAsTheyWere) {
  const Vocab vocab = full_piece_vocab();
  const Vocab back = there_and_back(vocab);
  EXPECT_EQ(back.kind, TokenizerKind::kSentencePiece);
  EXPECT_EQ(back.scores, vocab.scores);
  EXPECT_EQ(back.unk, vocab.unk);
  expect_equal(back, vocab);
}

TEST(GgufVocab, RefusesPiecesWithoutScores) {
  const auto error_with = [](std::string key, std::optional<GgufValue> value) {
    GgufWriter whole, writer;
    write_gguf_vocab(full_piece_vocab(), whole);
    const GgufFile file = written(whole);
    for (const GgufEntry& entry : file.entries()) {
      if (entry.key != key) writer.set(entry.key, entry.value);
    }
    if (value) writer.set(key, *value);
    return error_of([&] { Tokenizer{read_gguf_vocab(written(writer))}; });
  };
  const std::string scores = "tokenizer.ggml.scores", prefix = "tokenizer.ggml.add_space_prefix";
  std::vector<float> values(263);
  EXPECT_EQ(error_with(scores, std::nullopt), scores + ": missing");
  EXPECT_EQ(error_with(scores, ints({1})), scores + ": want array of f32, got i32");
  EXPECT_EQ(error_with(scores, GgufValue::array(GgufArray::of(std::vector<float>(4)))),
            scores + ": 4 entries for 263 tokens");
  values[257] = NAN;
  EXPECT_EQ(error_with(scores, GgufValue::array(GgufArray::of(values))),
            "scores[257]: nan, want a finite number");
  EXPECT_EQ(error_with(prefix, std::nullopt),
            prefix + ": true (also if absent), only false is supported");
  EXPECT_EQ(error_with(prefix, GgufValue::boolean(true)),
            prefix + ": true (also if absent), only false is supported");
  EXPECT_EQ(error_with("tokenizer.ggml.add_eos_token", GgufValue::boolean(true)),
            "key tokenizer.ggml.add_eos_token true: not understood, tokens could be wrong");
  EXPECT_EQ(error_with("tokenizer.ggml.add_bos_token", std::nullopt), "no error");
  EXPECT_EQ(error_with("tokenizer.ggml.bos_token_id", std::nullopt),
            "add_bos_token true, and no bos token");
}

TEST(GgufVocab, NeedsModelTokensAndMerges) {
  GgufWriter writer;
  const auto error = [&] { return error_of([&] { read_gguf_vocab(written(writer)); }); };
  EXPECT_EQ(error(), "tokenizer.ggml.model: missing");
  writer.set("tokenizer.ggml.model", GgufValue::string("gpt2"));
  EXPECT_EQ(error(), "tokenizer.ggml.pre: missing");
  writer.set("general.architecture", GgufValue::string("llama"));
  EXPECT_EQ(error(), "tokenizer.ggml.pre: missing");
  writer.set("general.architecture", GgufValue::string("qwen3moe"));
  EXPECT_EQ(error(), "tokenizer.ggml.tokens: missing");
  writer.set("tokenizer.ggml.tokens", strings({"a", "<|im_end|>"}));
  EXPECT_EQ(error(), "tokenizer.ggml.merges: missing");
  writer.set("tokenizer.ggml.merges", strings({}));
  const Vocab vocab = read_gguf_vocab(written(writer));
  EXPECT_EQ(vocab.pre, "qwen2");
  EXPECT_EQ(vocab.types, std::vector<TokenType>(2, TokenType::kNormal));
  EXPECT_EQ(vocab.eos, -1);
  EXPECT_TRUE(vocab.nfc);
  EXPECT_TRUE(vocab.end_of_generation.empty());  // the name alone is not enough
}

TEST(GgufVocab, EndOfGeneration) {
  Vocab vocab = byte_vocab();
  const auto end = [&](std::vector<Token> ids) {
    set_end_of_generation(vocab, std::move(ids));
    return vocab.end_of_generation;
  };
  EXPECT_EQ(end({}), (std::vector<Token>{}));
  vocab.eos = 9;
  EXPECT_EQ(end({200, 3, 9, 3}), (std::vector<Token>{3, 9, 200}));
  add_token(vocab, "<|endoftext|>", TokenType::kNormal);     // 256
  add_token(vocab, "<|im_end|>", TokenType::kControl);       // 257
  add_token(vocab, "<|fim_pad|>", TokenType::kUserDefined);  // 258
  add_token(vocab, "<|im_start|>", TokenType::kControl);     // 259
  add_token(vocab, "<|repo_name|>", TokenType::kControl);    // 260
  add_token(vocab, "<|file_sep|>", TokenType::kControl);     // 261
  add_token(vocab, "<end_of_turn>", TokenType::kControl);    // 262
  EXPECT_EQ(end({}), (std::vector<Token>{9, 257, 258, 260, 261, 262}));
  vocab.bos = 256;
  EXPECT_EQ(end({}), (std::vector<Token>{9, 256, 257, 258, 260, 261, 262}));
  vocab.bos = 259;
  EXPECT_EQ(end({}), (std::vector<Token>{9, 257, 258, 260, 261, 262}));
}

}  // namespace
}  // namespace st
