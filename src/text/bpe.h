// Byte-pair encoding of one piece of text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/vocab.h"

namespace st {

// The merges of a vocabulary, by token id. Immutable; encode() may be called from several threads.
class Bpe {
 public:
  // Throws Error(kInvalidData) if one of the 256 bytes has no token, or a merge is not of the form
  // "left right", repeats another, or has parts or a result outside the vocabulary.
  explicit Bpe(const Vocab& vocab);

  // Appends the tokens of `piece`: beginning with single bytes, the adjacent pair with the lowest
  // rank (the leftmost of them) is merged until none can be. O(n log n).
  void encode(std::string_view piece, std::vector<Token>& out) const;

 private:
  // The position of a merge in the list, best first; kNone if the two do not merge.
  using Rank = int32_t;
  static constexpr Rank kNone = INT32_MAX;

  Rank rank_of(Token left, Token right) const;
  void encode_short(std::string_view piece, std::vector<Token>& out) const;
  void encode_long(std::string_view piece, std::vector<Token>& out) const;

  std::array<Token, 256> byte_tokens_;
  std::vector<Token> results_;  // by rank
  // All merges ordered by (left, right): those of one `left` are at [first_[left], first_[left+1]).
  // Found by bisection; unlike a hash table no choice of merges makes it slow.
  std::vector<uint32_t> first_;
  std::vector<Token> rights_;
  std::vector<Rank> ranks_;
};

}  // namespace st
