// Text to tokens and back: byte-level BPE with Qwen2's pre-tokenizer, or SentencePiece's BPE.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/marked_text.h"
#include "text/vocab.h"

namespace st {

// Immutable after construction; all methods may be called from several threads at once.
class Tokenizer {
 public:
  // Throws Error(kInvalidData) when the vocabulary cannot work (merges of unknown pieces, bytes
  // without a token, scores that are no numbers, ids out of range), Error(kUnsupported) for an
  // unknown pre-tokenizer.
  explicit Tokenizer(Vocab vocab);
  ~Tokenizer();

  const Vocab& vocab() const { return vocab_; }
  int64_t size() const { return static_cast<int64_t>(vocab_.types.size()); }
  bool is_end_of_generation(Token token) const;

  // Frees the texts of vocab(), its tokens and merges. Nothing here needs them any more.
  void forget_texts();

  // Tokens of `text`; any bytes are accepted and come back from decode() exactly, after NFC of what
  // is valid UTF-8 (SentencePiece: after U+2581 became a blank). With `parse_special`, control
  // tokens written in the text become single tokens; user-defined ones always do. Adds no BOS. Time
  // is O(n log n) in the length of the text.
  std::vector<Token> encode(std::string_view text, bool parse_special) const;

  // Special tokens, control or user-defined, only where all bytes of the name are of one trusted
  // run; those that are nothing but white space everywhere. Otherwise the tokens of the whole text:
  // they do not depend on where runs meet.
  std::vector<Token> encode(const MarkedText& text) const;

  // The beginning of a longer text: appends the tokens of as much of `text` as whatever follows
  // cannot change, and returns how many bytes that is; 0 if nothing is sure.
  size_t encode_part(std::string_view text, bool parse_special, std::vector<Token>& out) const;

  // The bytes of one token, possibly a part of a character. Control tokens give their name if
  // `special`, else nothing; unused ids give nothing. REQUIRES: 0 <= token < size().
  std::string piece(Token token, bool special) const;

  // The bytes of a sequence of tokens.
  std::string decode(std::span<const Token> tokens, bool special) const;

 private:
  struct Impl;
  template <typename Find>
  size_t encode_to(std::string_view text, size_t end, const Find& find,
                   std::vector<Token>& out) const;

  Vocab vocab_;
  std::unique_ptr<const Impl> impl_;
};

// Encodes a text that comes in parts, as encode() does the whole, in memory that does not grow with
// it but with its longest stretch in which no word ends. Puts BOS in front if the vocabulary asks
// for it, unless the text brings its own.
class TextEncoder {
 public:
  explicit TextEncoder(const Tokenizer& tokenizer, bool parse_special)
      : tokenizer_(tokenizer), parse_special_(parse_special) {}

  // Append tokens: of what is sure by now, and of the rest when nothing follows.
  void add(std::string_view part, std::vector<Token>& out);
  void finish(std::vector<Token>& out);

  // Bytes of memory that the next add() or finish() may take: what is held back is encoded at once.
  uint64_t bytes() const { return kBytesPerByte * held_.size(); }
  // For the symbols of a piece and their queue, or its code points.
  static constexpr uint64_t kBytesPerByte = 80;

 private:
  // out[first...] are the first tokens of the text.
  void begin(std::vector<Token>& out, size_t first);

  const Tokenizer& tokenizer_;
  const bool parse_special_;
  bool begun_ = false;
  std::string held_;
  size_t window_ = 0;  // so much must be there before another try
};

// Cuts a stream of token bytes at character boundaries, so that half a character is never printed.
class StreamDecoder {
 public:
  // Takes the next bytes; returns what can be shown now. Bytes that may be the beginning of a
  // character (at most 3) are held back; bytes that can never be part of one become U+FFFD.
  std::string push(std::string_view bytes);
  // The end of the stream: an unfinished character becomes one U+FFFD.
  std::string finish();

 private:
  std::string pending_;
};

}  // namespace st
