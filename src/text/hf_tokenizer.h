// tokenizer.json and what tokenizer_config.json adds to it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "text/vocab.h"

namespace st {

// Tokens by id, in any order, up to a number of rows.
class TokenTable {
 public:
  static constexpr int64_t kMaxTokens = int64_t{1} << 24;
  static constexpr int64_t kMaxUnasked = int64_t{1} << 21;  // rows, if nothing says how many

  // Fills `vocab`. `vocab_size`: rows in all; 0: as many as there are tokens.
  TokenTable(Vocab& vocab, int64_t vocab_size) : vocab_(vocab), vocab_size_(vocab_size) {}

  // Whether this is the token of this id already.
  bool has(int64_t id, const std::string& text) const {
    const auto i = static_cast<size_t>(id);
    return id >= 0 && i < vocab_.tokens.size() && vocab_.types[i] != TokenType::kUnused &&
           vocab_.tokens[i] == text;
  }

  void add(int64_t id, const std::string& text, TokenType type) {
    if (id < 0) fail(ErrorCode::kInvalidData, "id {} < 0", id);
    if (id >= kMaxTokens) fail(ErrorCode::kInvalidData, "id {} >= 2^24", id);
    if (vocab_size_ > 0 && id >= vocab_size_) {
      fail(ErrorCode::kInvalidData, "id {} >= vocab_size {}", id, vocab_size_);
    }
    if (vocab_size_ == 0 && id >= kMaxUnasked) fail(ErrorCode::kInvalidData, "id {} >= 2^21", id);
    const auto i = static_cast<size_t>(id);
    if (i >= vocab_.tokens.size()) resize(i + 1);
    if (vocab_.types[i] != TokenType::kUnused && vocab_.tokens[i] != text) {
      fail(ErrorCode::kInvalidData, "id {} is already '{}'", id, printable(vocab_.tokens[i]));
    }
    vocab_.tokens[i] = text;
    vocab_.types[i] = type;
  }

  // Names the rows without a token.
  void pad() {
    if (vocab_size_ > 0) resize(static_cast<size_t>(vocab_size_));
    for (size_t i = 0; i < vocab_.tokens.size(); ++i) {
      if (vocab_.types[i] == TokenType::kUnused) vocab_.tokens[i] = fmt::format("[PAD{}]", i);
    }
  }

 private:
  void resize(size_t rows) {
    vocab_.tokens.resize(rows);
    vocab_.types.resize(rows, TokenType::kUnused);
  }

  Vocab& vocab_;
  int64_t vocab_size_;
};

// Reads tokens, merges and the normalizer of a tokenizer.json that is a byte-level BPE of Qwen2's
// kind, or one of SentencePiece's kind. Every key is read, is known to change no token, or must say
// what we do: others are an Error(kUnsupported) that names it. Memory: within a few times the text,
// whatever it is.
void read_hf_tokenizer(std::string_view text, TokenTable& table, Vocab& vocab);

// Keys of tokenizer_config.json that change tokens, and its list of added tokens.
void read_hf_tokenizer_config(const nlohmann::json& config, TokenTable& table);

}  // namespace st
