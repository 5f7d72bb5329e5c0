// Byte-pair merging: of adjacent symbols, those whose pair ranks best become one, until none do.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include "text/vocab.h"

namespace st {

using Rank = int32_t;  // lower merges earlier
inline constexpr Rank kNoMerge = INT32_MAX;

// What two neighbours become.
struct Merged {
  Rank rank = kNoMerge;
  Token token = -1;
};

// The symbols of one piece of text.
class Symbols {
 public:
  // `most`: symbols that will be added at most.
  explicit Symbols(size_t most) {
    if (most <= kFew) return;
    many_.resize(most);
    symbols_ = many_.data();
  }
  Symbols(const Symbols&) = delete;
  Symbols& operator=(const Symbols&) = delete;

  // A symbol that begins at this byte of the piece.
  void add(Token token, size_t begin) { symbols_[n_++] = {token, static_cast<uint32_t>(begin)}; }

  // Merges the pair with the lowest rank, of equal ranks the leftmost, until none can be, appends
  // the tokens that are left, and forgets them. `end`: where the last symbol ends.
  // `merge_of(left, right, begin, end)` says what two tokens become that take those bytes of the
  // piece. O(n log n).
  template <typename MergeOf>
  void merge(size_t end, const MergeOf& merge_of, std::vector<Token>& out) {
    n_ <= kFew ? merge_few(static_cast<uint32_t>(end), merge_of, out)
               : merge_many(static_cast<uint32_t>(end), merge_of, out);
    n_ = 0;
  }

 private:
  // Pieces up to this length are merged by plain scanning: nearly all words are that short, and for
  // them nothing beats a pass over a few numbers on the stack.
  static constexpr uint32_t kFew = 32;

  struct Symbol {
    Token token;
    uint32_t begin;
    uint32_t previous, next;  // indices; n_ past the last, and before the first
    Merged merged;            // with the next symbol
  };

  template <typename MergeOf>
  void merge_few(uint32_t end, const MergeOf& merge_of, std::vector<Token>& out) {
    Symbol* s = symbols_;
    uint32_t n = n_;
    const auto link = [&](uint32_t i) {
      s[i].merged = i + 1 == n ? Merged()
                               : merge_of(s[i].token, s[i + 1].token, s[i].begin,
                                          i + 2 == n ? end : s[i + 2].begin);
    };
    const auto rank = [](const Symbol& symbol) { return symbol.merged.rank; };
    for (uint32_t i = 0; i < n; ++i) link(i);
    while (n > 1) {
      Symbol* best = std::ranges::min_element(s, s + n, {}, rank);
      if (rank(*best) == kNoMerge) break;
      best->token = best->merged.token;
      std::copy(best + 2, s + n, best + 1);
      --n;
      const auto i = static_cast<uint32_t>(best - s);
      if (i > 0) link(i - 1);
      link(i);
    }
    for (uint32_t i = 0; i < n; ++i) out.push_back(s[i].token);
  }

  template <typename MergeOf>
  void merge_many(uint32_t end, const MergeOf& merge_of, std::vector<Token>& out) {
    Symbol* s = symbols_;
    const uint32_t n = n_;
    // Candidates as rank << 32 | index of the left symbol, so the best is the leftmost of the
    // lowest rank. One whose rank is no longer that of its symbol is out of date.
    std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> queue;
    const auto link = [&](uint32_t i) {
      const uint32_t next = s[i].next;
      s[i].merged = Merged();
      if (next == n) return;
      const uint32_t after = s[next].next;
      s[i].merged =
          merge_of(s[i].token, s[next].token, s[i].begin, after == n ? end : s[after].begin);
      if (s[i].merged.rank == kNoMerge) return;
      queue.push(static_cast<uint64_t>(s[i].merged.rank) << 32 | i);
    };
    for (uint32_t i = 0; i < n; ++i) s[i].previous = i == 0 ? n : i - 1, s[i].next = i + 1;
    for (uint32_t i = 0; i < n; ++i) link(i);

    while (!queue.empty()) {
      const auto i = static_cast<uint32_t>(queue.top());
      const auto rank = static_cast<Rank>(queue.top() >> 32);
      queue.pop();
      Symbol& left = s[i];
      if (left.merged.rank != rank) continue;
      left.token = left.merged.token;
      s[left.next].merged = Merged();
      left.next = s[left.next].next;
      if (left.next != n) s[left.next].previous = i;
      link(i);
      if (left.previous != n) link(left.previous);
    }
    for (uint32_t i = 0; i != n; i = s[i].next) out.push_back(s[i].token);
  }

  std::array<Symbol, kFew> few_;
  std::vector<Symbol> many_;
  Symbol* symbols_ = few_.data();
  uint32_t n_ = 0;
};

}  // namespace st
