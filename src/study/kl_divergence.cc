#include "study/kl_divergence.h"

#include <algorithm>
#include <cmath>

namespace st {
namespace {

// What is less likely adds nothing: files do not tell it from what is still less likely.
constexpr float kLeastLogProbability = -16;

double log_sum_exp(std::span<const float> logits) {
  const double max = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - max);
  return max + std::log(sum);
}

auto best(std::span<const float> values) {
  return std::ranges::max_element(values) - values.begin();
}

// e to the power of x, whose error is small.
Estimate exp_of(const Estimate& x) {
  const double mean = std::exp(x.mean);
  return {mean, mean * x.error};
}

}  // namespace

void KlDivergence::add(std::span<const float> base, std::span<const float> logits, Token next) {
  const double normalizer = log_sum_exp(logits);
  double divergence = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    if (base[i] <= kLeastLogProbability) continue;
    divergence += std::exp(double{base[i]}) * (base[i] - (logits[i] - normalizer));
  }
  const auto at = static_cast<size_t>(next);
  const double nll = normalizer - logits[at], base_nll = -base[at];
  const double change = std::exp(-nll) - std::exp(-base_nll);
  nll_.add(nll);
  base_nll_.add(base_nll);
  nll_difference_.add(nll - base_nll);
  divergence_.add(divergence);
  change_.add(change);
  squared_change_.add(change * change);
  same_ += best(base) == best(logits);
  divergences_[static_cast<size_t>(count_)] = static_cast<float>(divergence);
  changes_[static_cast<size_t>(count_)] = static_cast<float>(change);
  ++count_;
}

Estimate KlDivergence::mean_of(const Sum& sum) const {
  const auto n = static_cast<double>(count_);
  const double mean = sum.values / n;
  const double variance = std::max(0.0, sum.squares / n - mean * mean);
  return {mean, count_ > 1 ? std::sqrt(variance / (n - 1)) : 0};
}

Estimate KlDivergence::perplexity() const { return exp_of(mean_of(nll_)); }
Estimate KlDivergence::base_perplexity() const { return exp_of(mean_of(base_nll_)); }
Estimate KlDivergence::log_ratio() const { return mean_of(nll_difference_); }
Estimate KlDivergence::ratio() const { return exp_of(log_ratio()); }
Estimate KlDivergence::divergence() const { return mean_of(divergence_); }
Estimate KlDivergence::change() const { return mean_of(change_); }

Estimate KlDivergence::root_mean_square_change() const {
  const Estimate square = mean_of(squared_change_);
  const double root = std::sqrt(square.mean);
  return {root, root > 0 ? square.error / (2 * root) : 0};
}

Estimate KlDivergence::same_best() const {
  const double share = static_cast<double>(same_) / static_cast<double>(count_);
  return {share, count_ > 1 ? std::sqrt(share * (1 - share) / static_cast<double>(count_ - 1)) : 0};
}

std::vector<double> KlDivergence::divergences_at(std::span<const double> places) {
  return at(divergences_, places);
}
std::vector<double> KlDivergence::changes_at(std::span<const double> places) {
  return at(changes_, places);
}

std::vector<double> KlDivergence::at(std::vector<float>& values,
                                     std::span<const double> places) const {
  std::ranges::sort(std::span(values).first(static_cast<size_t>(count_)));
  std::vector<double> found;
  for (const double place : places) {
    const double index = place * static_cast<double>(count_ - 1);
    const auto i = static_cast<size_t>(index);
    const size_t after = std::min(i + 1, static_cast<size_t>(count_ - 1));
    const double part = index - static_cast<double>(i);
    found.push_back((1 - part) * values[i] + part * values[after]);
  }
  return found;
}

}  // namespace st
