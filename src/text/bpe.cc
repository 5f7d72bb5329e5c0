#include "text/bpe.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "text/seeded_hash.h"
#include "text/utf8.h"

namespace st {
namespace {

constexpr char32_t kCharacters = 0x144;  // the alphabet ends at U+0143

constexpr bool is_printable(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
}

struct Alphabet {
  std::array<char32_t, 256> character{};       // by byte
  std::array<int16_t, kCharacters> byte_of{};  // by character; -1: none

  constexpr Alphabet() {
    byte_of.fill(-1);
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      character[byte] = is_printable(byte) ? byte : next++;
      byte_of[character[byte]] = static_cast<int16_t>(byte);
    }
  }
};

constexpr Alphabet kAlphabet;

}  // namespace

std::string byte_to_char(uint8_t byte) {
  std::string out;
  append_utf8(kAlphabet.character[byte], out);
  return out;
}

std::optional<std::string> alphabet_to_bytes(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    if (step.kind != Utf8Step::kCharacter) return std::nullopt;
    const char32_t c = decode_utf8(text.substr(0, step.length));
    if (c >= kCharacters || kAlphabet.byte_of[c] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kAlphabet.byte_of[c]));
    text.remove_prefix(step.length);
  }
  return bytes;
}

std::pair<std::string_view, std::string_view> merge_parts(std::string_view merge, size_t rank) {
  const size_t space = merge.find(' ');
  if (space == std::string_view::npos || merge.find(' ', space + 1) != std::string_view::npos) {
    fail(ErrorCode::kInvalidData, "merges[{}]: want two pieces and a space, got '{}'", rank,
         printable(merge));
  }
  return {merge.substr(0, space), merge.substr(space + 1)};
}

namespace {

// Token ids by text.
class TokenIndex {
 public:
  explicit TokenIndex(const Vocab& vocab) : ids_(vocab.tokens.size(), SeededHash{}) {
    for (size_t id = 0; id < vocab.tokens.size(); ++id) {
      if (vocab.types[id] != TokenType::kNormal) continue;
      const auto [it, is_new] = ids_.emplace(vocab.tokens[id], static_cast<Token>(id));
      if (!is_new) {
        fail(ErrorCode::kInvalidData, "tokens[{}]: '{}' is also token {}", id,
             printable(vocab.tokens[id]), it->second);
      }
    }
    // An added token may have taken the place of a normal one that merges still refer to.
    for (size_t id = 0; id < vocab.tokens.size(); ++id) {
      if (vocab.types[id] == TokenType::kUnused) continue;
      ids_.emplace(vocab.tokens[id], static_cast<Token>(id));
    }
  }

  std::optional<Token> find(std::string_view text) const {
    const auto it = ids_.find(text);
    return it == ids_.end() ? std::nullopt : std::optional(it->second);
  }

 private:
  std::unordered_map<std::string_view, Token, SeededHash> ids_;
};

struct Merge {
  Token left, right, result;
};

Merge parse_merge(const std::string& text, size_t rank, const TokenIndex& index) {
  const auto id_of = [&](std::string_view piece) {
    const auto id = index.find(piece);
    if (!id) {
      fail(ErrorCode::kInvalidData, "merges[{}]: '{}' not in vocab", rank, printable(piece));
    }
    return *id;
  };
  const auto [left, right] = merge_parts(text, rank);
  return {id_of(left), id_of(right), id_of(std::string(left).append(right))};
}

}  // namespace

Bpe::Bpe(const Vocab& vocab) {
  const TokenIndex index(vocab);
  for (unsigned byte = 0; byte < 256; ++byte) {
    const auto id = index.find(byte_to_char(static_cast<uint8_t>(byte)));
    if (!id) fail(ErrorCode::kInvalidData, "tokens: none for byte 0x{:02x}", byte);
    byte_tokens_[byte] = *id;
  }

  std::vector<Merge> merges;
  merges.reserve(vocab.merges.size());
  results_.reserve(vocab.merges.size());
  for (size_t rank = 0; rank < vocab.merges.size(); ++rank) {
    merges.push_back(parse_merge(vocab.merges[rank], rank, index));
    results_.push_back(merges.back().result);
  }

  ranks_.resize(merges.size());
  for (size_t i = 0; i < ranks_.size(); ++i) ranks_[i] = static_cast<Rank>(i);
  const auto pair_of = [&](Rank rank) {
    const Merge& merge = merges[static_cast<size_t>(rank)];
    return std::pair(merge.left, merge.right);
  };
  std::ranges::sort(ranks_, {}, [&](Rank rank) { return std::pair(pair_of(rank), rank); });
  const auto same = std::ranges::adjacent_find(ranks_, {}, pair_of);
  if (same != ranks_.end()) {
    fail(ErrorCode::kInvalidData, "merges[{}]: repeats merges[{}]", same[1], same[0]);
  }

  first_.assign(vocab.tokens.size() + 1, 0);
  rights_.reserve(ranks_.size());
  for (const Rank rank : ranks_) {
    rights_.push_back(pair_of(rank).second);
    ++first_[static_cast<size_t>(pair_of(rank).first) + 1];
  }
  for (size_t i = 1; i < first_.size(); ++i) first_[i] += first_[i - 1];
}

Merged Bpe::merge_of(Token left, Token right) const {
  const auto begin = rights_.begin() + first_[static_cast<size_t>(left)];
  const auto end = rights_.begin() + first_[static_cast<size_t>(left) + 1];
  const auto it = std::lower_bound(begin, end, right);
  if (it == end || *it != right) return {};
  const Rank rank = ranks_[static_cast<size_t>(it - rights_.begin())];
  return {rank, results_[static_cast<size_t>(rank)]};
}

void Bpe::encode(std::string_view piece, std::vector<Token>& out) const {
  Symbols symbols(piece.size());
  for (size_t i = 0; i < piece.size(); ++i) {
    symbols.add(byte_tokens_[static_cast<uint8_t>(piece[i])], i);
  }
  symbols.merge(
      piece.size(),
      [this](Token left, Token right, uint32_t, uint32_t) { return merge_of(left, right); }, out);
}

}  // namespace st
