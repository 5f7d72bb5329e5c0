// How well a model predicts a text.
#pragma once

#include <functional>
#include <span>

#include "engine/engine.h"

namespace st {

// What is scored: the logits after which the token at `target` of a window comes.
struct ScoredRow {
  std::span<const float> logits;  // (V), valid during the call
  Token next;                     // that token
  int64_t target;                 // 1 .. window - 1
  bool full;                      // the window has all its tokens
};

struct PerplexityResult {
  int64_t windows = 0;
  int64_t scored = 0;      // tokens
  double nll = 0;          // sum of negative log-likelihoods, natural log
  double nll_squared = 0;  // sum of their squares
  int64_t scored_second_half = 0;
  double nll_second_half = 0;

  double perplexity() const;
  double error() const;  // standard error of perplexity()
  double perplexity_second_half() const;
};

// Cuts `tokens` into consecutive windows of `window` tokens (the last may be shorter, at least 2),
// each evaluated on its own from an empty cache; every token of a window but the first is scored.
// Where texts begin with BOS it takes the place of the first token of each window.
// The second half of full windows is summed apart: that is what llama.cpp's perplexity reports.
// `progress` is called after each window, `row` for each row that is scored, in order; either may
// be empty. Throws what Engine::evaluate() throws.
PerplexityResult perplexity(
    Engine& engine, std::span<const Token> tokens, int64_t window,
    const std::function<void(const PerplexityResult&, int64_t windows)>& progress,
    const Stop& stop = Stop::never(), const std::function<void(const ScoredRow&)>& row = {});

}  // namespace st
