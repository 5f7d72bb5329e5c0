#include "text/bpe.h"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/error.h"
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

namespace {

// Pieces up to this length are merged by plain scanning: nearly all words are that short, and for
// them nothing beats a pass over a few numbers on the stack.
constexpr size_t kShort = 32;

// A hash that nobody can aim collisions at, since it differs from run to run.
struct SeededHash {
  uint64_t seed = std::random_device{}() | uint64_t{std::random_device{}()} << 32;
  size_t operator()(std::string_view text) const {
    uint64_t hash = seed;
    for (const char c : text) {
      hash = (hash ^ static_cast<uint8_t>(c)) * 0x9E3779B97F4A7C15;
      hash ^= hash >> 32;
    }
    return hash;
  }
};

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
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
    fail(ErrorCode::kInvalidData, "merges[{}]: want two pieces and a space, got '{}'", rank,
         printable(text));
  }
  const auto id_of = [&](std::string_view piece) {
    const auto id = index.find(piece);
    if (!id) {
      fail(ErrorCode::kInvalidData, "merges[{}]: '{}' not in vocab", rank, printable(piece));
    }
    return *id;
  };
  const std::string_view view = text;
  return {id_of(view.substr(0, space)), id_of(view.substr(space + 1)),
          id_of(std::string(view.substr(0, space)).append(view.substr(space + 1)))};
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

Bpe::Rank Bpe::rank_of(Token left, Token right) const {
  const auto begin = rights_.begin() + first_[static_cast<size_t>(left)];
  const auto end = rights_.begin() + first_[static_cast<size_t>(left) + 1];
  const auto it = std::lower_bound(begin, end, right);
  return it != end && *it == right ? ranks_[static_cast<size_t>(it - rights_.begin())] : kNone;
}

void Bpe::encode(std::string_view piece, std::vector<Token>& out) const {
  piece.size() <= kShort ? encode_short(piece, out) : encode_long(piece, out);
}

void Bpe::encode_short(std::string_view piece, std::vector<Token>& out) const {
  Token tokens[kShort];
  Rank ranks[kShort];  // of tokens[i] with tokens[i + 1]
  size_t n = 0;
  for (const char c : piece) tokens[n++] = byte_tokens_[static_cast<uint8_t>(c)];
  for (size_t i = 0; i + 1 < n; ++i) ranks[i] = rank_of(tokens[i], tokens[i + 1]);
  while (n > 1) {
    const size_t i = static_cast<size_t>(std::min_element(ranks, ranks + n - 1) - ranks);
    if (ranks[i] == kNone) break;
    tokens[i] = results_[static_cast<size_t>(ranks[i])];
    std::copy(tokens + i + 2, tokens + n, tokens + i + 1);
    std::copy(ranks + i + 1, ranks + n - 1, ranks + i);
    --n;
    if (i > 0) ranks[i - 1] = rank_of(tokens[i - 1], tokens[i]);
    if (i + 1 < n) ranks[i] = rank_of(tokens[i], tokens[i + 1]);
  }
  out.insert(out.end(), tokens, tokens + n);
}

void Bpe::encode_long(std::string_view piece, std::vector<Token>& out) const {
  struct Symbol {
    Token token;
    uint32_t previous, next;  // indices; `end` past the last, and before the first
    Rank rank;                // with the next symbol
  };
  const auto end = static_cast<uint32_t>(piece.size());
  std::vector<Symbol> symbols(piece.size());
  // Candidates as rank << 32 | index of the left symbol, so the best is the leftmost of the lowest
  // rank. One whose rank is no longer that of its symbol is out of date.
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> queue;

  const auto link = [&](uint32_t i) {
    Symbol& symbol = symbols[i];
    symbol.rank = symbol.next == end ? kNone : rank_of(symbol.token, symbols[symbol.next].token);
    if (symbol.rank != kNone) queue.push(static_cast<uint64_t>(symbol.rank) << 32 | i);
  };
  for (uint32_t i = 0; i < end; ++i) {
    symbols[i] = {byte_tokens_[static_cast<uint8_t>(piece[i])], i == 0 ? end : i - 1, i + 1, kNone};
  }
  for (uint32_t i = 0; i < end; ++i) link(i);

  while (!queue.empty()) {
    const auto i = static_cast<uint32_t>(queue.top());
    const auto rank = static_cast<Rank>(queue.top() >> 32);
    queue.pop();
    Symbol& left = symbols[i];
    if (left.rank != rank) continue;
    left.token = results_[static_cast<size_t>(rank)];
    symbols[left.next].rank = kNone;
    left.next = symbols[left.next].next;
    if (left.next != end) symbols[left.next].previous = i;
    link(i);
    if (left.previous != end) link(left.previous);
  }
  for (uint32_t i = 0; i != end; i = symbols[i].next) out.push_back(symbols[i].token);
}

}  // namespace st
