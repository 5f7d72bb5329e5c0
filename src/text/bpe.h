// Byte-pair encoding of one piece of text, and the alphabet its vocabularies are written in.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/merging.h"
#include "text/vocab.h"

namespace st {

// GPT-2's alphabet: every byte written as one printable character, so that vocabularies of bytes
// can be stored as text. Printable Latin-1 stands for itself, the other 68 bytes are U+0100
// onwards.
std::string byte_to_char(uint8_t byte);

// The bytes that `text` stands for; none if some character is not of the alphabet.
std::optional<std::string> alphabet_to_bytes(std::string_view text);

// "left right", which is merge number `rank` of a list.
std::pair<std::string_view, std::string_view> merge_parts(std::string_view merge, size_t rank);

// The merges of a vocabulary, by token id. Immutable; encode() may be called from several threads.
class Bpe {
 public:
  // Throws Error(kInvalidData) if one of the 256 bytes has no token, or a merge is not of the form
  // "left right", repeats another, or has parts or a result outside the vocabulary.
  explicit Bpe(const Vocab& vocab);

  // Appends the tokens of `piece`, which begins as single bytes. O(n log n).
  void encode(std::string_view piece, std::vector<Token>& out) const;

 private:
  Merged merge_of(Token left, Token right) const;

  std::array<Token, 256> byte_tokens_;
  // The rank of a merge is its position in the list.
  std::vector<Token> results_;  // by rank
  // All merges ordered by (left, right): those of one `left` are at [first_[left], first_[left+1]).
  // Found by bisection; unlike a hash table no choice of merges makes it slow.
  std::vector<uint32_t> first_;
  std::vector<Token> rights_;
  std::vector<Rank> ranks_;
};

}  // namespace st
