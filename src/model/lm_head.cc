#include "model/lm_head.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "model/linear.h"
#include "model/step.h"

namespace st {
namespace {

constexpr float kSkipped = -std::numeric_limits<float>::infinity();
constexpr int64_t kRows = 4096;  // of the vocabulary that a thread takes at a time

void dense(Step& s, std::span<const float> h, int64_t rows, std::span<float> logits) {
  const Projection output[] = {{s.weights.output, logits}};
  project(s.kernels, s.pool, h, rows, s.config.hidden, output, s.state.q8);
  s.state.stats.head_rows += static_cast<uint64_t>(rows * s.config.vocab);
  s.state.stats.multiply_adds += static_cast<uint64_t>(rows * s.config.vocab * s.config.hidden);
  s.state.stats.weight_bytes += s.weights.output.bytes();
}

// The input of the head's rows: quantised if its weights want that.
Activations prepare(Step& s, Q8Buffer& buffer, const Matrix& w, const float* x) {
  Activations in{.tokens = 1, .cols = w.cols, .x = x};
  if (wants_q8(w.type)) in.rows = buffer.quantize(s.kernels, s.pool, x, 1, w.cols);
  return in;
}

// A score that is not finite says nothing about its row.
void check_scores(std::span<const float> scores) {
  bool good = true;
  for (const float score : scores) good &= std::abs(score) <= std::numeric_limits<float>::max();
  if (good) return;
  const auto bad = std::ranges::find_if_not(scores, [](float x) { return std::isfinite(x); });
  fail(ErrorCode::kInvalidData, "lm-head predictor: score of token {} is not a finite number",
       bad - scores.begin());
}

// score[v] = Up (Down h) for all rows; +infinity for those that are always computed. scores: (V)
void predict(Step& s, std::span<const float> h, std::span<float> scores) {
  const Matrix& down_w = s.weights.predictor_down;
  const Matrix& up_w = s.weights.predictor_up;
  std::vector<float> low(static_cast<size_t>(down_w.rows));
  const Projection down[] = {{down_w, low}};
  project(s.kernels, s.pool, h, 1, s.config.hidden, down, s.state.q8);
  const Projection up[] = {{up_w, scores}};
  project(s.kernels, s.pool, low, 1, up_w.cols, up, s.state.q8);
  check_scores(scores);
  for (const int32_t v : s.head.always) {
    scores[static_cast<size_t>(v)] = std::numeric_limits<float>::infinity();
  }
  s.state.stats.weight_bytes += down_w.bytes() + up_w.bytes();
  s.state.stats.multiply_adds +=
      static_cast<uint64_t>(down_w.rows * down_w.cols + up_w.rows * up_w.cols);
}

// The threshold that lets `floor` rows through, if the given one lets fewer: `above`.
float effective_threshold(Step& s, std::span<const float> scores, int64_t above) {
  const int64_t V = s.config.vocab;
  const int64_t floor = std::min(s.head.floor, V);
  if (above >= floor) return s.head.threshold;
  std::vector<float> sorted(scores.begin(), scores.end());
  std::nth_element(sorted.begin(), sorted.begin() + (floor - 1), sorted.end(), std::greater<>());
  // Just below the last one that must pass; equal scores pass together.
  return std::nextafter(sorted[static_cast<size_t>(floor - 1)], kSkipped);
}

// logits[v] for the rows that pass, -infinity for the others. Returns how many pass. logits: (V)
int64_t compute_rows(Step& s, const Activations& in, const float* scores, float threshold,
                     float* logits) {
  std::atomic<int64_t> computed = 0;
  s.pool.parallel_for(s.config.vocab, kRows, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> index(static_cast<size_t>(end - begin));
    int64_t count = 0;
    for (int64_t v = begin; v < end; ++v) {
      logits[v] = kSkipped;
      index[static_cast<size_t>(count)] = static_cast<int32_t>(v);
      count += scores[v] > threshold;
    }
    std::vector<float> values(static_cast<size_t>(count));
    linear_indexed(s.kernels, s.weights.output, index.data(), count, in, values.data(), count);
    for (int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<size_t>(i);
      logits[index[at]] = values[at];
    }
    computed += count;
  });
  return computed;
}

void sparse(Step& s, std::span<const float> h, std::span<float> logits) {
  const std::span<float> scores = s.state.head_scores();
  predict(s, h, scores);
  const Activations in = prepare(s, s.state.q8, s.weights.output, h.data());
  int64_t computed = compute_rows(s, in, scores.data(), s.head.threshold, logits.data());
  const float threshold = effective_threshold(s, scores, computed);
  if (threshold < s.head.threshold) {  // seldom; and those few once more do no harm
    computed = compute_rows(s, in, scores.data(), threshold, logits.data());
  }
  s.state.stats.head_rows += static_cast<uint64_t>(computed);
  s.state.stats.multiply_adds += static_cast<uint64_t>(computed * s.config.hidden);
  s.state.stats.weight_bytes += static_cast<uint64_t>(computed) * s.weights.output.stride();
}

void check(Step& s, std::span<const float> h, const float* logits) {
  constexpr int64_t kTop = 20;
  const int64_t V = s.config.vocab;
  const std::span<float> scores = s.state.head_scores();
  predict(s, h, scores);
  const int64_t above =
      std::ranges::count_if(scores, [&](float score) { return score > s.head.threshold; });
  const float threshold = effective_threshold(s, scores, above);
  std::vector<int32_t> order(static_cast<size_t>(V));
  std::iota(order.begin(), order.end(), 0);
  const int64_t top = std::min(kTop, V);
  std::partial_sort(order.begin(), order.begin() + top, order.end(), [&](int32_t a, int32_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  });
  LmHeadAgreement& seen = s.state.agreement;
  ++seen.steps;
  for (int64_t i = 0; i < top; ++i) {
    const bool kept = scores[static_cast<size_t>(order[static_cast<size_t>(i)])] > threshold;
    seen.top20_kept += kept;
    if (i == 0) seen.best_kept += kept;
  }
}

}  // namespace

std::span<const float> lm_head(Step& s) {
  const int64_t D = s.config.hidden;
  const std::span<float> h = s.state.h.span();
  int64_t rows = 0;
  for (int64_t t = 0; t < s.tokens(); ++t) {
    if (!s.batch[static_cast<size_t>(t)].logits) continue;
    s.kernels.rms_norm(s.state.x.data() + t * D, s.weights.output_norm, s.config.rms_eps, D,
                       h.data() + rows++ * D);
  }
  if (s.observer) (*s.observer)("norm", -1, h.first(static_cast<size_t>(rows * D)));
  if (rows == 0) return {};
  const int64_t at_once = s.sink ? std::min(rows, s.sink_rows) : rows;
  const std::span<float> logits = s.state.logits(at_once);
  const auto values = [&](int64_t n) {
    return std::span<const float>(logits).first(static_cast<size_t>(n * s.config.vocab));
  };
  const bool one = rows == 1 && s.weights.predictor_up;
  for (int64_t done = 0; done < rows; done += at_once) {
    s.stop.check();
    const int64_t n = std::min(at_once, rows - done);
    if (one && s.head.mode == LmHead::kSparse) {
      sparse(s, h, logits);
    } else {
      dense(s, h.subspan(static_cast<size_t>(done * D)), n, logits);
      if (one && s.head.mode == LmHead::kCheck) check(s, h, logits.data());
    }
    if (s.sink) (*s.sink)(values(n));
  }
  return s.sink ? std::span<const float>() : values(rows);
}

}  // namespace st
