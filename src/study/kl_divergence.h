// How far the predictions of a model are from those of another one, the base: for each token of a
// text, from the probabilities P of the base and Q of the model,
//   KL divergence   sum over the vocabulary of P ln(P / Q)
//   change          Q - P of the token that comes next
//   whether the likeliest token is the same
// and the perplexities of both. Sums are of what llama.cpp's --kl-divergence sums.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "text/vocab.h"

namespace st {

// A mean, and its standard error.
struct Estimate {
  double mean = 0, error = 0;
};

class KlDivergence {
 public:
  // Of so many tokens at most; takes its memory, 8 bytes each, at once.
  explicit KlDivergence(int64_t tokens)
      : divergences_(static_cast<size_t>(tokens)), changes_(divergences_) {}

  // base: log-probabilities (V); logits: (V); next: the token that comes.
  void add(std::span<const float> base, std::span<const float> logits, Token next);

  int64_t tokens() const { return count_; }
  Estimate perplexity() const;
  Estimate base_perplexity() const;
  Estimate log_ratio() const;  // of perplexities, ln(PPL(Q) / PPL(P))
  Estimate ratio() const;
  Estimate divergence() const;
  Estimate change() const;
  Estimate root_mean_square_change() const;
  Estimate same_best() const;  // a share

  // Sorts what was added. Values at these places, 0 the smallest, 1 the largest; between two of
  // them linearly.
  std::vector<double> divergences_at(std::span<const double> places);
  std::vector<double> changes_at(std::span<const double> places);

 private:
  struct Sum {
    double values = 0, squares = 0;
    void add(double value) {
      values += value;
      squares += value * value;
    }
  };
  Estimate mean_of(const Sum& sum) const;
  std::vector<double> at(std::vector<float>& values, std::span<const double> places) const;

  int64_t count_ = 0, same_ = 0;
  Sum nll_, base_nll_, nll_difference_, divergence_, change_, squared_change_;
  std::vector<float> divergences_, changes_;  // (tokens), the first count_ of them
};

}  // namespace st
