#include "model/lm_head.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include "base/error.h"
#include "model/blocks.h"
#include "model/step.h"

namespace st {
namespace {

constexpr float kSkipped = -std::numeric_limits<float>::infinity();
constexpr int64_t kRows = 4096;  // of the vocabulary that a thread takes at a time

// Rows of the last pass that are computed together.
struct Rows {
  std::span<const float> h;         // (n, D)
  std::span<const int64_t> tokens;  // (n) of the batch

  int64_t count() const { return std::ssize(tokens); }
};

std::span<float> row_of(const Step& s, std::span<float> logits, int64_t i) {
  const auto V = static_cast<size_t>(s.config.vocab);
  return logits.subspan(static_cast<size_t>(i) * V, V);
}

// Of values from any row of the vocabulary; those of rows that are skipped stay -infinity.
void soften(const Step& s, std::span<float> logits) {
  const float cap = s.config.logit_softcap;
  if (cap > 0) s.kernels.soft_cap(logits.data(), cap, std::ssize(logits));
}

// logits: (n, V)
void dense(Step& s, const Rows& in, std::span<float> logits) {
  const int64_t rows = in.count();
  project(s, in.h, rows, {{s.weights.output, logits}});
  if (s.config.logit_softcap > 0) {
    s.pool.parallel_for(std::ssize(logits), kRows, [&](int64_t begin, int64_t end) {
      soften(s, logits.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
    });
  }
  s.state.stats.head_rows += static_cast<uint64_t>(rows * s.config.vocab);
}

// The score that a row of the vocabulary must exceed to be computed: the options' threshold, or the
// one that lets `floor` rows through if that lets fewer; +infinity for those that are always
// computed. A score that is not finite says nothing about its row: the token fails, and goes on
// with zeros. scores: (V)
float threshold_of(const Step& s, std::span<float> scores, std::optional<Error>& failure) {
  const float threshold = s.head.threshold;
  int32_t finite = 0, above = 0;
  for (const float score : scores) {
    finite += std::abs(score) <= std::numeric_limits<float>::max();
    above += score > threshold;
  }
  if (finite < std::ssize(scores)) {
    const auto bad = std::ranges::find_if_not(scores, [](float x) { return std::isfinite(x); });
    if (!failure) {
      failure = Error(ErrorCode::kInvalidData,
                      fmt::format("lm-head predictor: score of token {} is not a finite number",
                                  bad - scores.begin()));
    }
    std::ranges::fill(scores, 0.0f);
    above = 0 > threshold ? static_cast<int32_t>(scores.size()) : 0;
  }
  for (const int32_t v : s.head.always) {
    float& score = scores[static_cast<size_t>(v)];
    above += !(score > threshold);
    score = std::numeric_limits<float>::infinity();
  }
  const int64_t floor = std::min(s.head.floor, s.config.vocab);
  if (above >= floor) return threshold;
  std::vector<float> sorted(scores.begin(), scores.end());
  std::nth_element(sorted.begin(), sorted.begin() + (floor - 1), sorted.end(), std::greater<>());
  // Just below the last one that must pass; equal scores pass together.
  return std::nextafter(sorted[static_cast<size_t>(floor - 1)], kSkipped);
}

// score[v] = Up (Down h) for all rows of the vocabulary. scores: (n, V). Returns thresholds: (n)
std::vector<float> predict(Step& s, const Rows& in, std::span<float> scores) {
  const int64_t n = in.count();
  std::vector<float> low(static_cast<size_t>(n * s.weights.predictor_down.rows));
  project(s, in.h, n, {{s.weights.predictor_down, low}});
  project(s, low, n, {{s.weights.predictor_up, scores}});
  std::vector<float> thresholds;
  for (int64_t i = 0; i < n; ++i) {
    const auto token = static_cast<size_t>(in.tokens[static_cast<size_t>(i)]);
    thresholds.push_back(threshold_of(s, row_of(s, scores, i), s.state.failures[token]));
  }
  return thresholds;
}

// Logits of the rows [begin, end) of the vocabulary whose scores pass, -infinity for the others, in
// place of the scores. Returns how many pass. logits: (V)
int64_t compute_rows(Step& s, const Activations& in, float threshold, int64_t begin, int64_t end,
                     float* logits) {
  std::vector<int32_t> index(static_cast<size_t>(end - begin));
  int64_t count = 0;
  for (int64_t v = begin; v < end; ++v) {
    index[static_cast<size_t>(count)] = static_cast<int32_t>(v);
    count += logits[v] > threshold;
    logits[v] = kSkipped;
  }
  std::vector<float> values(static_cast<size_t>(count));
  linear_indexed(s.kernels, s.weights.output, index.data(), count, in, values.data(), count);
  soften(s, values);
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(i);
    logits[index[at]] = values[at];
  }
  return count;
}

// logits: (n, V), which has the scores until then
void sparse(Step& s, const Rows& rows, std::span<float> logits) {
  const std::vector<float> thresholds = predict(s, rows, logits);
  const int64_t n = rows.count(), D = s.config.hidden;
  Q8Rows q8{};
  if (s.kernels.format(s.weights.output.type).wants_q8()) {
    q8 = s.state.q8.quantize(s.kernels, s.pool, rows.h.data(), n, D);
  }
  std::atomic<int64_t> computed = 0;
  s.pool.parallel_for(s.config.vocab, kRows, [&](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < n; ++i) {
      Activations in{.tokens = 1, .cols = D, .x = rows.h.data() + i * D};
      if (q8.q != nullptr) in.rows = q8.rows_from(i, D);
      computed += compute_rows(s, in, thresholds[static_cast<size_t>(i)], begin, end,
                               row_of(s, logits, i).data());
    }
  });
  s.state.stats.head_rows += static_cast<uint64_t>(computed);
  s.state.stats.multiply_adds += static_cast<uint64_t>(computed * D);
  s.state.stats.weight_bytes += static_cast<uint64_t>(computed) * s.weights.output.stride();
}

// What the sparse head would have kept of one row. logits: (V)
void check(Step& s, const Rows& row, std::span<const float> logits) {
  constexpr int64_t kTop = 20;
  const int64_t V = s.config.vocab;
  std::vector<float> scores(static_cast<size_t>(V));
  const float threshold = predict(s, row, scores).front();
  std::vector<int32_t> order(static_cast<size_t>(V));
  std::iota(order.begin(), order.end(), 0);
  const int64_t top = std::min(kTop, V);
  const auto better = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  };
  std::partial_sort(order.begin(), order.begin() + top, order.end(), better);
  LmHeadAgreement& seen = s.state.agreement;
  ++seen.steps;
  for (int64_t i = 0; i < top; ++i) {
    const bool kept = scores[static_cast<size_t>(order[static_cast<size_t>(i)])] > threshold;
    seen.top20_kept += kept;
    if (i == 0) seen.best_kept += kept;
  }
}

// How many of the first rows, at most so many, may be computed alike.
size_t alike(const Step& s, std::span<const int64_t> tokens, int64_t most) {
  const auto sparse = [&](int64_t t) { return s.batch[static_cast<size_t>(t)].sparse; };
  const auto n = std::min(tokens.size(), static_cast<size_t>(most));
  const auto other = std::ranges::find_if(
      tokens.first(n), [&](int64_t t) { return sparse(t) != sparse(tokens.front()); });
  return static_cast<size_t>(other - tokens.begin());
}

void compute(Step& s, const Rows& rows, std::span<float> logits) {
  const bool may_skip = s.batch[static_cast<size_t>(rows.tokens.front())].sparse &&
                        static_cast<bool>(s.weights.predictor_up);
  if (may_skip && s.head.mode == LmHead::kSparse) return sparse(s, rows, logits);
  dense(s, rows, logits);
  if (!may_skip || s.head.mode != LmHead::kCheck) return;
  const auto D = static_cast<size_t>(s.config.hidden);
  for (size_t i = 0; i < rows.tokens.size(); ++i) {
    check(s, {rows.h.subspan(i * D, D), rows.tokens.subspan(i, 1)},
          row_of(s, logits, static_cast<int64_t>(i)));
  }
}

}  // namespace

std::span<const float> lm_head(Step& s) {
  const int64_t D = s.config.hidden;
  const auto V = static_cast<size_t>(s.config.vocab);
  const std::span<float> h = s.state.h.span();
  std::vector<int64_t> tokens;
  for (int64_t t = 0; t < s.tokens(); ++t) {
    if (!s.batch[static_cast<size_t>(t)].logits) continue;
    s.kernels.rms_norm(s.state.x.data() + t * D, s.weights.output_norm, s.config.rms_eps, D,
                       h.data() + std::ssize(tokens) * D);
    tokens.push_back(t);
  }
  const size_t rows = tokens.size();
  if (s.observer) (*s.observer)("norm", -1, h.first(rows * static_cast<size_t>(D)));
  if (rows == 0) return {};
  const int64_t at_once = s.sink != nullptr ? s.sink_rows : std::ssize(tokens);
  const std::span<float> logits = s.state.logits(std::min(at_once, std::ssize(tokens)));
  for (size_t done = 0, n = 0; done < rows; done += n) {
    s.stop.check();
    const std::span<const int64_t> left = std::span(tokens).subspan(done);
    n = alike(s, left, at_once);
    const std::span<float> out = logits.subspan(s.sink != nullptr ? 0 : done * V, n * V);
    const auto first = static_cast<size_t>(D) * done, values = static_cast<size_t>(D) * n;
    compute(s, {h.subspan(first, values), left.first(n)}, out);
    if (s.sink != nullptr) (*s.sink)(out);
  }
  return s.sink != nullptr ? std::span<const float>() : logits;
}

}  // namespace st
