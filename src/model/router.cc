#include "model/router.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "model/blocks.h"

namespace st {
namespace {

// A score that is not finite would only make its expert never, or always, the chosen one: wrong,
// and nothing to see it by. The token goes on with scores of zero, so that others are not held up.
void check_scores(std::span<float> z, int64_t layer, std::optional<Error>& failure) {
  const auto finite = [](float score) { return std::isfinite(score); };
  const auto bad = std::ranges::find_if_not(z, finite);
  if (bad == z.end()) return;
  if (!failure) {
    failure = Error(ErrorCode::kInvalidData,
                    fmt::format("layer {}: router score of expert {} is not a finite number", layer,
                                bad - z.begin()));
  }
  std::ranges::fill(z, 0.0f);
}

// The k largest of z (E), best first, ties to the lower index; NaN, which only a guess may have,
// loses to everything.
void top_k(const float* z, int64_t E, int64_t k, int32_t* chosen) {
  for (int64_t slot = 0; slot < k; ++slot) {
    int32_t best = -1;
    for (int32_t e = 0; e < E; ++e) {
      if (std::find(chosen, chosen + slot, e) != chosen + slot) continue;
      if (best < 0 || z[e] > z[best] || (std::isnan(z[best]) && !std::isnan(z[e]))) best = e;
    }
    chosen[slot] = best;
  }
}

// Weights of the chosen ones of E experts.
void gate(Gating gating, const float* z, int64_t E, int64_t k, const int32_t* chosen,
          float* weights) {
  float sum = 0;
  for (int64_t slot = 0; slot < k; ++slot) {
    const float score = z[chosen[slot]];
    weights[slot] = gating == Gating::kSigmoid ? 1.0f / (1.0f + std::exp(-score))
                                               : std::exp(score - z[chosen[0]]);
    sum += weights[slot];
  }
  if (gating == Gating::kSoftmaxOfAll) {
    sum = 0;
    for (int64_t e = 0; e < E; ++e) sum += std::exp(z[e] - z[chosen[0]]);
  }
  // All sigmoids may underflow to 0; no expert then has a say.
  for (int64_t slot = 0; slot < k; ++slot) weights[slot] = sum > 0 ? weights[slot] / sum : sum;
}

std::span<const float> rows(const Step& s, const float* in) {
  return {in, static_cast<size_t>(s.tokens() * s.config.hidden)};
}

// E and k of layer l.
struct Numbers {
  int64_t E, k;
};
Numbers numbers(const Step& s, int64_t l) {
  const Ffn& ffn = s.config.ffn(l);
  return {ffn.experts, ffn.used};
}

// Sorts the (token, slot) pairs by expert.
void group_by_expert(ExpertPlan& plan, int64_t T, int64_t k, int64_t E) {
  std::vector<int64_t> end(static_cast<size_t>(E) + 1, 0);  // of each expert's pairs
  for (int64_t i = 0; i < T * k; ++i)
    ++end[static_cast<size_t>(plan.chosen[static_cast<size_t>(i)]) + 1];
  plan.experts.clear();
  plan.begin.clear();
  for (int64_t e = 0; e < E; ++e) {
    const auto i = static_cast<size_t>(e);
    if (end[i + 1] > 0) {
      plan.experts.push_back(static_cast<int32_t>(e));
      plan.begin.push_back(end[i]);
    }
    end[i + 1] += end[i];
  }
  plan.begin.push_back(T * k);
  plan.token.resize(static_cast<size_t>(T * k));
  plan.pair.resize(static_cast<size_t>(T * k));
  for (int64_t i = 0; i < T * k; ++i) {
    const int64_t pair = end[static_cast<size_t>(plan.chosen[static_cast<size_t>(i)])]++;
    plan.token[static_cast<size_t>(pair)] = static_cast<int32_t>(i / k);
    plan.pair[static_cast<size_t>(i)] = static_cast<int32_t>(pair);
  }
}

}  // namespace

void route(Step& s, int64_t l, const Matrix& router, const float* in) {
  const auto [E, k] = numbers(s, l);
  const int64_t T = s.tokens();
  ExpertPlan& plan = s.state.plan;
  project(s, rows(s, in), s.tokens(), {{router, s.state.router.span()}});
  plan.chosen.resize(static_cast<size_t>(T * k));
  plan.weights.resize(static_cast<size_t>(T * k));
  for (int64_t t = 0; t < T; ++t) {
    float* z = s.state.router.data() + t * E;
    check_scores({z, static_cast<size_t>(E)}, l, s.state.failures[static_cast<size_t>(t)]);
    int32_t* chosen = plan.chosen.data() + t * k;
    top_k(z, E, k, chosen);
    gate(s.config.gating, z, E, k, chosen, plan.weights.data() + t * k);
  }
  group_by_expert(plan, T, k, E);
  if (s.routing_observer) (*s.routing_observer)(l, plan.chosen);
}

void use_all(Step& s) {
  const int64_t T = s.tokens();
  ExpertPlan& plan = s.state.plan;
  plan.chosen.assign(static_cast<size_t>(T), 0);
  plan.weights.assign(static_cast<size_t>(T), 1.0f);
  group_by_expert(plan, T, 1, 1);
}

RoutedExperts::RoutedExperts(Step& s, int64_t l) : released_{s.experts, l} {
  const ExpertPlan& plan = s.state.plan;
  s.experts.prefetch(l, {plan.experts, plan.begin, s.tokens(), s.stop});
}

void foresee(Step& s, int64_t l, const Matrix& router, const float* in) {
  if (!s.experts.wants_guess()) return;
  const auto [E, k] = numbers(s, l);
  InputObserver* const observer = std::exchange(s.input_observer, nullptr);
  project(s, rows(s, in), s.tokens(), {{router, s.state.router.span()}});
  s.input_observer = observer;
  std::vector<int32_t> chosen(static_cast<size_t>(k));
  std::vector<uint8_t> wanted(static_cast<size_t>(E));
  for (int64_t t = 0; t < s.tokens(); ++t) {
    top_k(s.state.router.data() + t * E, E, k, chosen.data());
    for (const int32_t e : chosen) wanted[static_cast<size_t>(e)] = 1;
  }
  std::vector<int32_t> experts;
  for (int32_t e = 0; e < E; ++e) {
    if (wanted[static_cast<size_t>(e)] != 0) experts.push_back(e);
  }
  s.experts.guess(l, experts);
}

}  // namespace st
