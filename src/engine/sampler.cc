#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>

#include "base/error.h"

namespace st {
namespace {

std::optional<SamplerKind> find_kind(std::string_view name, bool& neutral) {
  neutral = name == "dry" || name == "xtc" || name == "top_n_sigma" || name == "top-n-sigma";
  if (name == "penalties") return SamplerKind::kPenalties;
  if (name == "top_k" || name == "top-k") return SamplerKind::kTopK;
  if (name == "top_p" || name == "top-p" || name == "nucleus") return SamplerKind::kTopP;
  if (name == "min_p" || name == "min-p") return SamplerKind::kMinP;
  if (name == "temperature" || name == "temp") return SamplerKind::kTemperature;
  if (name == "typ_p" || name == "typ-p" || name == "typ" || name == "typical" ||
      name == "typical-p" || name == "typical_p") {
    return SamplerKind::kTypicalP;
  }
  return std::nullopt;
}

}  // namespace

std::vector<SamplerKind> parse_samplers(std::string_view text) {
  std::vector<SamplerKind> chain;
  while (!text.empty()) {
    const size_t end = std::min(text.find(';'), text.size());
    const std::string_view name = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    bool neutral = false;
    if (const auto kind = find_kind(name, neutral)) {
      chain.push_back(*kind);
    } else if (!neutral) {
      fail(ErrorCode::kInvalidUsage,
           "unknown sampler '{}' (known: penalties, dry, top_n_sigma, top_k, typ_p, top_p, min_p, "
           "xtc, temperature)",
           printable(name));
    }
  }
  return chain;
}

Sampler::Sampler(SamplerOptions options) : options_(std::move(options)) {
  if (options_.seed == 0xFFFFFFFF) options_.seed = std::random_device{}();
  generator_.seed(options_.seed);
}

void Sampler::accept(Token token) { history_.push_back(token); }

Token Sampler::sample(std::span<const float> logits) {
  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) candidates_[i] = {static_cast<Token>(i), logits[i]};
  for (const Token id : options_.banned) {
    if (id >= 0 && static_cast<size_t>(id) < logits.size()) {
      candidates_[static_cast<size_t>(id)].logit = -INFINITY;
    }
  }
  for (const SamplerKind kind : options_.chain) apply(kind);
  // Temperature 0 means greedy whether or not the chain names it.
  if (options_.temperature <= 0) top_k(1);
  return draw();
}

void Sampler::apply(SamplerKind kind) {
  switch (kind) {
    case SamplerKind::kPenalties:
      return penalties();
    case SamplerKind::kTopK:
      return options_.top_k > 0 ? top_k(options_.top_k) : void();
    case SamplerKind::kTypicalP:
      return typical_p();
    case SamplerKind::kTopP:
      return top_p();
    case SamplerKind::kMinP:
      return min_p();
    case SamplerKind::kTemperature:
      return temperature();
  }
}

void Sampler::penalties() {
  const bool off = options_.repeat_penalty == 1.0f && options_.frequency_penalty == 0.0f &&
                   options_.presence_penalty == 0.0f;
  if (off || options_.repeat_last_n == 0) return;
  const size_t n = options_.repeat_last_n < 0
                       ? history_.size()
                       : std::min(history_.size(), static_cast<size_t>(options_.repeat_last_n));
  std::unordered_map<Token, int> counts;
  for (size_t i = history_.size() - n; i < history_.size(); ++i) ++counts[history_[i]];
  for (Candidate& c : candidates_) {
    const auto seen = counts.find(c.id);
    if (seen == counts.end()) continue;
    c.logit = c.logit <= 0 ? c.logit * options_.repeat_penalty : c.logit / options_.repeat_penalty;
    c.logit -=
        static_cast<float>(seen->second) * options_.frequency_penalty + options_.presence_penalty;
  }
}

// Keeps the k best, best first.
void Sampler::top_k(int64_t k) {
  const auto n = std::min(static_cast<size_t>(k), candidates_.size());
  std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(n),
                    candidates_.end(), [](const Candidate& a, const Candidate& b) {
                      return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
                    });
  candidates_.resize(n);
}

std::vector<double> Sampler::probabilities() {
  top_k(static_cast<int64_t>(candidates_.size()));  // sorts
  std::vector<double> p(candidates_.size());
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    p[i] = std::exp(static_cast<double>(candidates_[i].logit) - candidates_[0].logit);
    sum += p[i];
  }
  for (double& value : p) value /= sum;
  return p;
}

// Keeps the tokens whose surprise is closest to the entropy, until they hold probability p.
void Sampler::typical_p() {
  if (options_.typical_p >= 1.0f) return;
  const std::vector<double> p = probabilities();
  double entropy = 0;
  for (const double value : p) entropy -= value > 0 ? value * std::log(value) : 0;
  std::vector<size_t> order(p.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, {},
                           [&](size_t i) { return std::abs(-std::log(p[i]) - entropy); });
  std::vector<Candidate> kept;
  double held = 0;
  for (const size_t i : order) {
    kept.push_back(candidates_[i]);
    held += p[i];
    if (held > options_.typical_p) break;
  }
  candidates_ = std::move(kept);
}

// Keeps the shortest run of best tokens that holds probability p.
void Sampler::top_p() {
  if (options_.top_p >= 1.0f) return;
  const std::vector<double> p = probabilities();
  double held = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    held += p[i];
    if (held >= options_.top_p) {
      candidates_.resize(i + 1);
      return;
    }
  }
}

// Keeps the tokens at least min_p times as likely as the best.
void Sampler::min_p() {
  if (options_.min_p <= 0.0f) return;
  const float best = std::ranges::max(candidates_, {}, &Candidate::logit).logit;
  const float least = best + std::log(options_.min_p);
  std::vector<Candidate> kept;
  for (const Candidate& c : candidates_) {
    if (c.logit >= least) kept.push_back(c);
  }
  if (!kept.empty()) candidates_ = std::move(kept);
}

void Sampler::temperature() {
  if (options_.temperature <= 0) return top_k(1);
  for (Candidate& c : candidates_) c.logit /= options_.temperature;
}

Token Sampler::draw() {
  const std::vector<double> p = probabilities();
  const double lo = static_cast<double>(generator_());
  const double hi = static_cast<double>(generator_());
  const double u = (lo + hi * 0x1p32) * 0x1p-64;
  double held = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    held += p[i];
    if (held >= u) return candidates_[i].id;
  }
  return candidates_.front().id;  // rounding left held just below u
}

}  // namespace st
