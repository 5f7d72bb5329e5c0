#include "engine/perplexity.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "engine/scoped_sequence.h"

namespace st {
namespace {

// -ln softmax(logits)[target]
double negative_log_likelihood(std::span<const float> logits, Token target) {
  const double max = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - max);
  return max + std::log(sum) - logits[static_cast<size_t>(target)];
}

}  // namespace

double PerplexityResult::perplexity() const { return std::exp(nll / static_cast<double>(scored)); }

double PerplexityResult::perplexity_second_half() const {
  return std::exp(nll_second_half / static_cast<double>(scored_second_half));
}

double PerplexityResult::error() const {
  const auto n = static_cast<double>(scored);
  const double mean = nll / n;
  const double variance = std::max(0.0, nll_squared / n - mean * mean);
  return perplexity() * std::sqrt(variance / std::max(1.0, n - 1));
}

PerplexityResult perplexity(
    Engine& engine, std::span<const Token> tokens, int64_t window,
    const std::function<void(const PerplexityResult&, int64_t windows)>& progress, const Stop& stop,
    const std::function<void(const ScoredRow&)>& row) {
  if (window < 2 || window > engine.context()) {
    fail(ErrorCode::kInvalidUsage, "window of {} tokens: want 2..{}", window, engine.context());
  }
  if (tokens.size() < 2) fail(ErrorCode::kInvalidUsage, "the text has fewer than 2 tokens");
  const auto V = static_cast<size_t>(engine.config().vocab);
  const auto total = static_cast<int64_t>(tokens.size());
  const int64_t windows = total / window + (total % window >= 2 ? 1 : 0);
  const Vocab& vocab = engine.tokenizer().vocab();
  std::vector<Token> with_bos;  // a window, if windows begin with BOS, as in llama.cpp
  PerplexityResult result;
  ScopedSequence sequence(engine.cache());
  for (int64_t begin = 0; begin < total; begin += window) {
    const int64_t n = std::min(window, total - begin);
    if (n < 2) break;
    auto part = tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(n));
    if (vocab.add_bos) {
      with_bos.assign(part.begin(), part.end());
      with_bos.front() = vocab.bos;
      part = with_bos;
    }
    int64_t target = 0;  // of the next row: the token after its own
    const auto score = [&](std::span<const float> rows) {
      for (; !rows.empty() && ++target < n; rows = rows.subspan(V)) {
        const Token next = part[static_cast<size_t>(target)];
        const double nll = negative_log_likelihood(rows.first(V), next);
        if (row) row({rows.first(V), next, target, n == window});
        result.nll += nll;
        result.nll_squared += nll * nll;
        ++result.scored;
        if (n == window && target >= window / 2) {
          result.nll_second_half += nll;
          ++result.scored_second_half;
        }
      }
    };
    sequence.restart();
    engine.evaluate({sequence.id(), part, Wanted::kAll}, score, stop);
    ++result.windows;
    if (progress) progress(result, windows);
  }
  return result;
}

}  // namespace st
