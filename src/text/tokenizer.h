// Text to tokens and back: byte-level BPE with Qwen2's pre-tokenizer.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/vocab.h"

namespace st {

// Immutable after construction; all methods may be called from several threads at once.
class Tokenizer {
 public:
  // Throws Error(kInvalidData) when the vocabulary cannot work (merges of unknown pieces, bytes
  // without a token, ids out of range), Error(kUnsupported) for an unknown pre-tokenizer.
  explicit Tokenizer(Vocab vocab);
  ~Tokenizer();

  const Vocab& vocab() const { return vocab_; }
  int64_t size() const { return static_cast<int64_t>(vocab_.types.size()); }
  bool is_end_of_generation(Token token) const;

  // Frees the texts of vocab(), its tokens and merges. Nothing here needs them any more.
  void forget_texts();

  // Tokens of `text`; any bytes are accepted and come back from decode() exactly, after NFC of what
  // is valid UTF-8. With `parse_special`, control tokens written in the text become single tokens;
  // user-defined ones always do. Adds no BOS. Time is O(n log n) in the length of the text.
  std::vector<Token> encode(std::string_view text, bool parse_special) const;

  // The bytes of one token, possibly a part of a character. Control tokens give their name if
  // `special`, else nothing; unused ids give nothing. REQUIRES: 0 <= token < size().
  std::string piece(Token token, bool special) const;

  // The bytes of a sequence of tokens.
  std::string decode(std::span<const Token> tokens, bool special) const;

 private:
  struct Impl;
  Vocab vocab_;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace st
