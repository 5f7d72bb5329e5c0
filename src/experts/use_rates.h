// How often each expert is asked for: the estimate behind the cache's choices.
//
// A rate is the share of tokens, 0..1, that ask for an expert. It is averaged over three spans of
// the past, each a decaying mean: the last token, some 50 tokens, some 400. Which of them tells the
// next token best depends on the model and on the text, so their weights are learnt as tokens pass:
// each gains in proportion to the probability it gave to what was then asked for (one step of
// expectation maximisation on a mixture). A text that stays on its topic is thus judged by long
// spans, one that wanders by short ones, and nobody has to tune it.
//
// While less has been seen than a span is long, its average counts all tokens alike, so that the
// first ones already say something.
//
// Experts that nobody has asked for yet all have the rate of their layer's others, so that time and
// memory of an ask depend on how many were ever asked for. Not for concurrent use.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace st {

class UseRates {
 public:
  // REQUIRES: 1 <= used <= experts. Before anything is known all experts have the rate used /
  // experts.
  UseRates(int64_t layers, int64_t experts, int64_t used);

  // A pass over `tokens` tokens asked for these distinct experts of the layer, each for counts[i]
  // of its tokens; without counts, each for all of them.
  void ask(int64_t layer, std::span<const int32_t> experts, std::span<const int32_t> counts,
           int64_t tokens);

  // The blend of the spans: the chance that the next token asks for the expert; more than 0.
  float rate(int64_t layer, int64_t expert) const;

  // The average over the longest span, (layers, experts): what is worth keeping beyond this run.
  std::vector<float> long_rates() const;
  // Begins with these, (layers, experts), in every span, as if a few dozen tokens had been seen.
  void set_rates(std::span<const float> rates);

  static constexpr std::array<double, 3> kHalfLives{1, 32, 256};  // tokens
  std::span<const double> weights() const { return weights_; }    // of the spans; they sum to 1

 private:
  static constexpr size_t kSpans = kHalfLives.size();
  static constexpr int32_t kOthers = 0;               // place of all that nobody has asked for
  struct Row {                                        // of a layer
    double seen;                                      // tokens
    std::array<std::vector<float>, kSpans> averages;  // (places) each
  };

  void learn(int64_t layer, std::span<const int32_t> experts);
  size_t place(int64_t layer, int64_t expert) const {
    return static_cast<size_t>(places_[static_cast<size_t>(layer * experts_ + expert)]);
  }

  int64_t experts_;
  std::vector<Row> rows_;        // (layers)
  std::vector<int32_t> places_;  // (layers, experts), in their row
  std::array<double, kSpans> weights_;
};

}  // namespace st
