#include "experts/use_rates.h"

#include <algorithm>
#include <cmath>

namespace st {
namespace {

// How fast the weights follow: a layer's ask moves them by half a per cent, a token of the 4B
// by 15.
constexpr double kLearning = 0.005;
constexpr double kLeastWeight = 0.001;  // a span can always come back
constexpr float kLeastRate = 1e-4f;     // an expert that nobody has asked for for ages

// What is known beforehand counts as so many tokens.
constexpr double kNothing = 8;
constexpr double kHotSet = 32;

}  // namespace

UseRates::UseRates(int64_t layers, int64_t experts, int64_t used)
    : experts_(experts), seen_(static_cast<size_t>(layers), kNothing) {
  const float even = static_cast<float>(used) / static_cast<float>(experts);
  for (auto& average : averages_) average.assign(static_cast<size_t>(layers * experts), even);
  weights_.fill(1.0 / static_cast<double>(weights_.size()));
}

void UseRates::learn(int64_t layer, std::span<const int32_t> experts) {
  std::array<double, kHalfLives.size()> gain{};
  for (const int32_t e : experts) {
    const auto at = static_cast<size_t>(layer * experts_ + e);
    double sum = 0;
    for (size_t i = 0; i < gain.size(); ++i) sum += weights_[i] * averages_[i][at];
    if (sum <= 0) continue;
    for (size_t i = 0; i < gain.size(); ++i) gain[i] += weights_[i] * averages_[i][at] / sum;
  }
  double total = 0;
  for (size_t i = 0; i < gain.size(); ++i) {
    const double share = gain[i] / static_cast<double>(experts.size());
    weights_[i] = std::max(kLeastWeight, (1 - kLearning) * weights_[i] + kLearning * share);
    total += weights_[i];
  }
  for (double& weight : weights_) weight /= total;
}

void UseRates::ask(int64_t layer, std::span<const int32_t> experts, std::span<const int32_t> counts,
                   int64_t tokens) {
  // Within a batch nobody predicted anything, so there is nothing to learn about predicting.
  if (tokens == 1 && !experts.empty()) learn(layer, experts);
  double& seen = seen_[static_cast<size_t>(layer)];
  const auto n = static_cast<double>(tokens);
  for (size_t i = 0; i < averages_.size(); ++i) {
    float* row = averages_[i].data() + layer * experts_;
    const double kept = std::min(std::exp2(-n / kHalfLives[i]), seen / (seen + n));
    const auto keep = static_cast<float>(kept);
    for (int64_t e = 0; e < experts_; ++e) row[e] *= keep;
    for (size_t j = 0; j < experts.size(); ++j) {
      const double share =
          counts.empty() ? 1.0 : static_cast<double>(counts[j]) / static_cast<double>(tokens);
      row[experts[j]] += static_cast<float>((1 - kept) * share);
    }
  }
  seen += n;
}

float UseRates::rate(int64_t layer, int64_t expert) const {
  const auto at = static_cast<size_t>(layer * experts_ + expert);
  auto sum = static_cast<double>(kLeastRate);
  for (size_t i = 0; i < averages_.size(); ++i) sum += weights_[i] * averages_[i][at];
  return static_cast<float>(sum);
}

void UseRates::set_rates(std::span<const float> rates) {
  for (auto& average : averages_) average.assign(rates.begin(), rates.end());
  std::ranges::fill(seen_, kHotSet);
}

}  // namespace st
