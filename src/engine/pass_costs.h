// What a pass over a few tokens costs, measured as passes run.
#pragma once

#include <array>
#include <cstdint>

namespace st {

class PassCosts {
 public:
  static constexpr int64_t kMost = 8;  // tokens of a pass

  // A pass over so many tokens of one sequence, 1 .. kMost, took so long.
  void add(int64_t tokens, double seconds);

  // Of a pass over so many tokens, 1 .. kMost, as a multiple of one over a single token. Numbers of
  // tokens that were not seen lately are judged by those near to them. Nothing is cheaper together
  // before a single token was seen.
  double of(int64_t tokens) const;

 private:
  struct Seen {
    double more = 0;  // sum of what a further token cost
    double all = 0;   // passes
  };
  double single_ = 0;  // seconds of a pass over one token; 0: none was seen
  int64_t singles_ = 0;
  std::array<Seen, kMost + 1> seen_;
};

}  // namespace st
