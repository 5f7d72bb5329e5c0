#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/float_mode.h"

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

// Longer lists are ordered by counting, which takes linear time.
constexpr size_t kShort = 1024;

constexpr int kDigits = 3;
constexpr int kDigitBits = 11;

// A digit of a number that grows as the logit falls; -0 is 0.
size_t digit(float logit, int i) {
  const auto bits = std::bit_cast<uint32_t>(logit + 0.0f);
  const uint32_t falling = bits >> 31 != 0 ? bits : bits ^ 0x7FFFFFFF;
  return falling >> (i * kDigitBits) & ((1u << kDigitBits) - 1);
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
  generator_.discard(options_.used);
}

void Sampler::accept(Token token) { history_.push_back(token); }

Token Sampler::sample(std::span<const float> logits) {
  const DefaultFloatMode floats;
  take(logits);
  for (const SamplerKind kind : options_.chain) apply(kind);
  // Temperature 0 means greedy whether or not the chain names it.
  if (options_.temperature <= 0) top_k(1);
  return draw();
}

void Sampler::take(std::span<const float> logits) {
  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    const float logit = logits[i] > -INFINITY ? logits[i] : -INFINITY;  // a NaN is not greater
    candidates_[i] = {static_cast<Token>(i), logit};
  }
  for (const Token id : options_.banned) {
    if (id >= 0 && static_cast<size_t>(id) < logits.size()) {
      candidates_[static_cast<size_t>(id)].logit = -INFINITY;
    }
  }
  if (std::ranges::none_of(candidates_, [](const Candidate& c) { return c.logit > -INFINITY; })) {
    fail(ErrorCode::kInvalidData, "no token can be chosen: all are banned or have no logit");
  }
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
    if (std::isnan(c.logit)) c.logit = -INFINITY;  // infinite penalties
  }
}

// Best first. What a filter before has ordered still is, as a rule.
void Sampler::order() {
  if (std::ranges::is_sorted(candidates_, Better())) return;
  if (candidates_.size() > kShort && std::ranges::is_sorted(candidates_, {}, &Candidate::id)) {
    return count_into_order();
  }
  std::ranges::sort(candidates_, Better());
}

// The same for candidates by id: those with equal logits keep their order.
void Sampler::count_into_order() {
  std::array<std::array<uint32_t, 1 << kDigitBits>, kDigits> places{};  // of the next, per digit
  for (const Candidate& c : candidates_) {
    for (int i = 0; i < kDigits; ++i) ++places[static_cast<size_t>(i)][digit(c.logit, i)];
  }
  spare_.resize(candidates_.size());
  for (int i = 0; i < kDigits; ++i) {
    auto& place = places[static_cast<size_t>(i)];
    uint32_t before = 0;
    for (uint32_t& count : place) before += std::exchange(count, before);
    for (const Candidate& c : candidates_) spare_[place[digit(c.logit, i)]++] = c;
    candidates_.swap(spare_);
  }
}

// Keeps the k best, best first.
void Sampler::top_k(int64_t k) {
  const auto n = static_cast<size_t>(k);
  if (n >= candidates_.size()) return;
  if (n > kShort) {
    order();
  } else {
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(n),
                      candidates_.end(), Better());
  }
  candidates_.resize(n);
}

// Sums go from the best to the last: their last bits are the same whatever ran before.
const std::vector<double>& Sampler::probabilities() {
  order();
  const float best = candidates_.front().logit;
  probabilities_.resize(candidates_.size());
  double sum = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    const float logit = candidates_[i].logit;
    probabilities_[i] = logit == best ? 1 : std::exp(static_cast<double>(logit) - best);
    sum += probabilities_[i];
  }
  for (double& value : probabilities_) value /= sum;
  return probabilities_;
}

// Keeps the tokens whose surprise is closest to the entropy, until they hold probability p.
void Sampler::typical_p() {
  if (options_.typical_p >= 1.0f) return;
  const std::vector<double>& p = probabilities();
  double entropy = 0;
  for (const double value : p) entropy -= value > 0 ? value * std::log(value) : 0;
  // Surprise grows along the candidates. So [begin, end), the closest, grows at that end where the
  // next one is closer; equally close ones come best first.
  const auto distance = [&](size_t i) { return std::abs(-std::log(p[i]) - entropy); };
  const auto middle =
      std::ranges::partition_point(p, [&](double value) { return -std::log(value) < entropy; });
  auto begin = static_cast<size_t>(middle - p.begin());
  size_t end = begin;
  const double limit = std::max(0.0f, options_.typical_p);
  double held = 0;
  while (held <= limit && end - begin < p.size()) {
    if (end < p.size() && (begin == 0 || distance(end) < distance(begin - 1))) {
      held += p[end++];
      continue;
    }
    const size_t last = begin;
    while (begin > 0 && distance(begin - 1) == distance(last - 1)) --begin;
    size_t next = begin;
    while (next < last && held <= limit) held += p[next++];
    candidates_.erase(at(next), at(last));  // none, unless this is the end
    end -= last - next;
  }
  candidates_.erase(at(end), candidates_.end());
  candidates_.erase(candidates_.begin(), at(begin));
}

// Keeps the shortest run of best tokens that holds probability p.
void Sampler::top_p() {
  if (options_.top_p >= 1.0f) return;
  const std::vector<double>& p = probabilities();
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
  if (best >= least)
    std::erase_if(candidates_, [&](const Candidate& c) { return c.logit < least; });
}

// A temperature so low that the best logits would be infinite, and so alike, is none.
void Sampler::temperature() {
  const float best = std::ranges::max(candidates_, {}, &Candidate::logit).logit;
  if (options_.temperature <= 0 || !std::isfinite(best / options_.temperature)) return top_k(1);
  for (Candidate& c : candidates_) c.logit /= options_.temperature;
}

Token Sampler::draw() {
  const std::vector<double>& p = probabilities();
  const double lo = static_cast<double>(generator_());
  const double hi = static_cast<double>(generator_());
  options_.used += 2;
  const double u = (lo + hi * 0x1p32) * 0x1p-64;
  double held = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    held += p[i];
    if (held >= u) return candidates_[i].id;
  }
  return candidates_.front().id;  // rounding left held just below u
}

}  // namespace st
