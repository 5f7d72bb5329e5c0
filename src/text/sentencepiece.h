// Byte-pair encoding as SentencePiece has it, with a score for each piece instead of a list of
// merges: Gemma's.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/merging.h"
#include "text/printed_tokens.h"
#include "text/seeded_hash.h"
#include "text/vocab.h"

namespace st {

// Pieces have U+2581 where the text has a blank, and print as that.
inline constexpr std::string_view kBlankMark = "\u2581";
std::string with_blanks(std::string_view piece);
std::string with_marks(std::string_view text);

// 0x41 of "<0x41>"; none if it is no byte token.
std::optional<uint8_t> byte_of_piece(std::string_view text);

// Blank marks alone, at least one: such a token, though user-defined, is a piece as well. A text is
// searched for the marks themselves; what were blanks in it reaches the token by merging.
bool is_blank_run(std::string_view piece);

// Normal tokens and runs of blanks: what merging may make.
bool is_piece(const Vocab& vocab, size_t id);

// Immutable; encode() may be called from several threads.
class SentencePiece {
 public:
  static constexpr size_t kMaxPieceBytes = 256;  // so that looking one up takes no time to speak of

  // `printed` must outlive this. Throws
  // Error(kInvalidData) if one of the 256 bytes has no token or two, or a piece is empty, too long,
  // twice there, holds a blank that is not written as its mark, or has a score that is no number.
  SentencePiece(const Vocab& vocab, const PrintedTokens& printed);

  // Appends the tokens of `text`, any bytes, in which blanks stand for themselves or are marks.
  // Characters that are no piece become the tokens of their bytes. Of the others, the two
  // neighbours whose piece has the highest score are merged, the leftmost of several, until none
  // can be; runs of blanks come before everything else, longer ones first. O(n log n).
  void encode(std::string_view text, std::vector<Token>& out) const;

  // Where a text may be cut so that both sides have the tokens of the whole: the last such place at
  // or before `most`, as far as it can be told from two bytes; 0 if there is none.
  // REQUIRES: most <= text.size().
  size_t last_border(std::string_view text, size_t most) const;

 private:
  void add_piece(Token id);
  Merged find(std::string_view text) const;
  bool joins(char before, char after) const;
  void encode_word(std::string_view word, std::vector<Token>& out) const;
  void encode_bytes(std::string_view bytes, std::vector<Token>& out) const;

  const PrintedTokens& printed_;
  std::array<Token, 256> byte_tokens_;
  std::vector<Rank> ranks_;  // by id; pieces of equal score have the same
  std::vector<Token>
      slots_;  // ids by the hash of what they print as, in the next free place; or -1
  SeededHash hash_;
  std::bitset<size_t{1} << 16> joined_;  // bytes that stand side by side in some piece
};

}  // namespace st
