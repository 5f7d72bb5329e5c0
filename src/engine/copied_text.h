// Whether a text repeats itself, and how it goes on if it does.
//
// What was written last is looked up in all that was written before, and from there on every token
// is foretold, as long as that comes true (the match model of compressors; M. Mahoney, Data
// Compression Explained, 4.3.3). What comes true is counted by how long the text and its earlier
// place agree, whether or not anybody asks: so it is known what a draft is worth before one is
// evaluated. A token costs the same however long the text is.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "text/vocab.h"

namespace st {

class CopiedText {
 public:
  // Another text begins. What was counted stays.
  void begin();

  // Follows a text, which is that of the last call and more; the first tokens of all, which are a
  // prompt, are not counted.
  void follow(std::span<const Token> text);

  // Where in the text that was followed the next token is foretold; 0: nowhere.
  int64_t place() const { return place_; }
  // Tokens before the place that agree with the end of the text, counted up to kMost.
  int64_t agreeing() const { return agreeing_; }
  // That the token `ahead` places from there on comes true, if those before it do; 0 .. 1.
  double chance(int64_t ahead) const;

  static constexpr int64_t kMost = 64;

 private:
  struct Seen {
    double right, all;  // the last ones count most
  };
  size_t slot(std::span<const Token> text, int64_t end, int64_t tokens) const;
  void find(std::span<const Token> text, int64_t end);
  void remember(std::span<const Token> text, int64_t end);

  std::vector<int32_t> ends_;  // where a run of tokens ended last, by its hash; 0: nowhere
  int64_t followed_ = 0;       // tokens
  int64_t place_ = 0, agreeing_ = 0;
  // By the number of bits of agreeing().
  std::array<Seen, 8> seen_{
      {{0, 2}, {0, 2}, {0.6, 2}, {1.2, 2}, {1.5, 2}, {1.7, 2}, {1.9, 2}, {1.9, 2}}};
};

}  // namespace st
