#include "text/sentencepiece.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "text/utf8.h"

namespace st {

std::string with_blanks(std::string_view piece) {
  std::string out;
  for (size_t i = 0; i < piece.size();) {
    const bool blank = piece.substr(i).starts_with(kBlankMark);
    out += blank ? ' ' : piece[i];
    i += blank ? kBlankMark.size() : 1;
  }
  return out;
}

std::string with_marks(std::string_view text) {
  std::string out;
  for (const char c : text) c == ' ' ? out += kBlankMark : out += c;
  return out;
}

std::optional<uint8_t> byte_of_piece(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') return std::nullopt;
  const auto digit = [&](size_t i) { return std::string_view("0123456789ABCDEF").find(text[i]); };
  if (digit(3) == std::string_view::npos || digit(4) == std::string_view::npos) return std::nullopt;
  return static_cast<uint8_t>(digit(3) << 4 | digit(4));
}

bool is_blank_run(std::string_view piece) {
  const std::string printed = with_blanks(piece);
  return !piece.empty() && piece.size() == printed.size() * kBlankMark.size() &&
         printed.find_first_not_of(' ') == std::string::npos;
}

bool is_piece(const Vocab& vocab, size_t id) {
  return vocab.types[id] == TokenType::kNormal ||
         (vocab.types[id] == TokenType::kUserDefined && is_blank_run(vocab.tokens[id]));
}

namespace {

// Runs of blanks are above all scores, longer ones first.
double score_of(const Vocab& vocab, size_t id) {
  if (vocab.types[id] == TokenType::kNormal) return vocab.scores[id];
  return std::numeric_limits<float>::max() * (1.0 + static_cast<double>(vocab.tokens[id].size()));
}

void check_piece(const Vocab& vocab, size_t id) {
  const std::string& text = vocab.tokens[id];
  if (text.empty() || text.size() > SentencePiece::kMaxPieceBytes) {
    fail(ErrorCode::kInvalidData, "tokens[{}]: piece of {} bytes, want 1..{}", id, text.size(),
         SentencePiece::kMaxPieceBytes);
  }
  if (text.find(' ') != std::string::npos) {
    fail(ErrorCode::kInvalidData, "tokens[{}]: '{}' has a blank, want U+2581 for it", id,
         printable(text));
  }
  if (!std::isfinite(vocab.scores[id])) {
    fail(ErrorCode::kInvalidData, "scores[{}]: {}, want a finite number", id, vocab.scores[id]);
  }
}

}  // namespace

SentencePiece::SentencePiece(const Vocab& vocab, const PrintedTokens& printed)
    : printed_(printed), ranks_(vocab.tokens.size(), kNoMerge) {
  const size_t n = vocab.tokens.size();
  if (vocab.scores.size() != n) {
    fail(ErrorCode::kInvalidData, "{} scores for {} tokens", vocab.scores.size(), n);
  }
  byte_tokens_.fill(-1);
  std::vector<Token> pieces;
  for (size_t id = 0; id < n; ++id) {
    if (vocab.types[id] == TokenType::kByte) {
      const auto byte = static_cast<uint8_t>(printed[static_cast<Token>(id)][0]);
      Token& token = byte_tokens_[byte];
      if (token >= 0) {
        fail(ErrorCode::kInvalidData, "tokens[{}]: byte 0x{:02x} is also token {}", id, byte,
             token);
      }
      token = static_cast<Token>(id);
    } else if (is_piece(vocab, id)) {
      check_piece(vocab, id);
      pieces.push_back(static_cast<Token>(id));
    }
  }
  const auto missing = std::ranges::find(byte_tokens_, -1);
  if (missing != byte_tokens_.end()) {
    fail(ErrorCode::kInvalidData, "tokens: none for byte 0x{:02x}", missing - byte_tokens_.begin());
  }

  slots_.assign(std::bit_ceil(2 * pieces.size() + 1), -1);
  for (const Token id : pieces) add_piece(id);
  const auto score = [&](Token id) { return score_of(vocab, static_cast<size_t>(id)); };
  std::ranges::stable_sort(pieces, std::greater<>(), score);
  Rank rank = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0 && score(pieces[i]) != score(pieces[i - 1])) ++rank;
    ranks_[static_cast<size_t>(pieces[i])] = rank;
  }
}

void SentencePiece::add_piece(Token id) {
  const std::string_view text = printed_[id];
  size_t slot = hash_(text) & (slots_.size() - 1);
  for (; slots_[slot] >= 0; slot = (slot + 1) & (slots_.size() - 1)) {
    if (printed_[slots_[slot]] != text) continue;
    fail(ErrorCode::kInvalidData, "tokens[{}]: '{}' is also token {}", id, printable(text),
         slots_[slot]);
  }
  slots_[slot] = id;
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    joined_.set(static_cast<uint8_t>(text[i]) << 8 | static_cast<uint8_t>(text[i + 1]));
  }
}

Merged SentencePiece::find(std::string_view text) const {
  if (text.size() > kMaxPieceBytes) return {};
  size_t slot = hash_(text) & (slots_.size() - 1);
  for (; slots_[slot] >= 0; slot = (slot + 1) & (slots_.size() - 1)) {
    const Token id = slots_[slot];
    if (printed_[id] == text) return {ranks_[static_cast<size_t>(id)], id};
  }
  return {};
}

// Whether a merge might cross here. A character is never cut: its bytes after the first go with
// whatever stands before them.
bool SentencePiece::joins(char before, char after) const {
  const auto byte = static_cast<uint8_t>(after);
  return (byte & 0xC0) == 0x80 || joined_[static_cast<uint8_t>(before) << 8 | byte];
}

void SentencePiece::encode_bytes(std::string_view bytes, std::vector<Token>& out) const {
  for (const char c : bytes) out.push_back(byte_tokens_[static_cast<uint8_t>(c)]);
}

void SentencePiece::encode_word(std::string_view word, std::vector<Token>& out) const {
  Symbols symbols(word.size());
  const auto merge_of = [&](Token, Token, uint32_t begin, uint32_t end) {
    return find(word.substr(begin, end - begin));
  };
  for (size_t i = 0; i < word.size();) {
    const Utf8Step step = utf8_step(word.substr(i));
    const std::string_view character = word.substr(i, step.length);
    const Token token = step.kind == Utf8Step::kCharacter ? find(character).token : -1;
    if (token >= 0) {
      symbols.add(token, i);
    } else {
      symbols.merge(i, merge_of, out);
      encode_bytes(character, out);
    }
    i += character.size();
  }
  symbols.merge(word.size(), merge_of, out);
}

void SentencePiece::encode(std::string_view text, std::vector<Token>& out) const {
  std::string buffer;
  if (text.find(kBlankMark) != std::string_view::npos) text = buffer = with_blanks(text);
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin + 1;
    while (end < text.size() && joins(text[end - 1], text[end])) ++end;
    encode_word(text.substr(begin, end - begin), out);
    begin = end;
  }
}

size_t SentencePiece::last_border(std::string_view text, size_t most) const {
  size_t at = std::min(most, text.empty() ? 0 : text.size() - 1);
  const auto is_border = [&] {
    const bool blank_before = text.substr(0, at).ends_with(kBlankMark);
    const bool blank_after = text.substr(at).starts_with(kBlankMark);
    return !joins(blank_before ? ' ' : text[at - 1], blank_after ? ' ' : text[at]);
  };
  while (at > 0 && !is_border()) --at;
  return at;
}

}  // namespace st
