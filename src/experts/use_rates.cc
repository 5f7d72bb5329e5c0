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
    : experts_(experts),
      rows_(static_cast<size_t>(layers)),
      places_(static_cast<size_t>(layers * experts), kOthers) {
  const float even = static_cast<float>(used) / static_cast<float>(experts);
  for (Row& row : rows_) {
    row.seen = kNothing;
    row.averages.fill({even});
  }
  weights_.fill(1.0 / kSpans);
}

void UseRates::learn(int64_t layer, std::span<const int32_t> experts) {
  const auto& averages = rows_[static_cast<size_t>(layer)].averages;
  std::array<double, kSpans> gain{};
  for (const int32_t e : experts) {
    const size_t at = place(layer, e);
    double sum = 0;
    for (size_t i = 0; i < kSpans; ++i) sum += weights_[i] * averages[i][at];
    if (sum <= 0) continue;
    for (size_t i = 0; i < kSpans; ++i) gain[i] += weights_[i] * averages[i][at] / sum;
  }
  double total = 0;
  for (size_t i = 0; i < kSpans; ++i) {
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
  auto& [seen, averages] = rows_[static_cast<size_t>(layer)];
  for (const int32_t e : experts) {
    int32_t& at = places_[static_cast<size_t>(layer * experts_ + e)];
    if (at != kOthers) continue;
    at = static_cast<int32_t>(averages.front().size());
    for (auto& average : averages) average.push_back(average[kOthers]);
  }
  const auto n = static_cast<double>(tokens);
  for (size_t i = 0; i < kSpans; ++i) {
    const double kept = std::min(std::exp2(-n / kHalfLives[i]), seen / (seen + n));
    const auto keep = static_cast<float>(kept);
    for (float& average : averages[i]) average *= keep;
    for (size_t j = 0; j < experts.size(); ++j) {
      const double share =
          counts.empty() ? 1.0 : static_cast<double>(counts[j]) / static_cast<double>(tokens);
      averages[i][place(layer, experts[j])] += static_cast<float>((1 - kept) * share);
    }
  }
  seen += n;
}

float UseRates::rate(int64_t layer, int64_t expert) const {
  const auto& averages = rows_[static_cast<size_t>(layer)].averages;
  const size_t at = place(layer, expert);
  auto sum = static_cast<double>(kLeastRate);
  for (size_t i = 0; i < kSpans; ++i) sum += weights_[i] * averages[i][at];
  return static_cast<float>(sum);
}

std::vector<float> UseRates::long_rates() const {
  std::vector<float> rates;
  rates.reserve(places_.size());
  for (size_t i = 0; i < places_.size(); ++i) {
    const Row& row = rows_[i / static_cast<size_t>(experts_)];
    rates.push_back(row.averages.back()[static_cast<size_t>(places_[i])]);
  }
  return rates;
}

void UseRates::set_rates(std::span<const float> rates) {
  const auto E = static_cast<size_t>(experts_);
  for (size_t i = 0; i < places_.size(); ++i) places_[i] = static_cast<int32_t>(1 + i % E);
  for (size_t l = 0; l < rows_.size(); ++l) {
    rows_[l].seen = kHotSet;
    for (auto& average : rows_[l].averages) {
      average.assign(1, 0);  // there are no others
      average.insert(average.end(), rates.begin() + static_cast<ptrdiff_t>(l * E),
                     rates.begin() + static_cast<ptrdiff_t>((l + 1) * E));
    }
  }
}

}  // namespace st
