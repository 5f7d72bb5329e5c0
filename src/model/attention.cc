#include "model/attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "model/forward.h"
#include "model/linear.h"

namespace st {
namespace {

// Rotates the pairs (i, i + d/2) of each head of one token ("NeoX" order). heads: (n, d)
void rotate(float* heads, int64_t n, int64_t d, const float* cos, const float* sin) {
  const int64_t half = d / 2;
  for (int64_t i = 0; i < n; ++i) {
    float* lo = heads + i * d;
    float* hi = lo + half;
    for (int64_t j = 0; j < half; ++j) {
      const float a = lo[j];
      const float b = hi[j];
      lo[j] = a * cos[j] - b * sin[j];
      hi[j] = b * cos[j] + a * sin[j];
    }
  }
}

// One token and one key/value head: the query heads of its group against all visible keys.
// scores: (H / K, keys) of scratch.
void attend(Step& s, int64_t l, int64_t t, int64_t kv_head, float* scores) {
  const ModelConfig& c = s.config;
  const BatchItem& item = s.batch[static_cast<size_t>(t)];
  const int64_t group = c.heads / c.kv_heads;
  const int64_t d = c.head_dim;
  const int64_t end = item.position + 1;
  const int64_t begin =
      c.sliding[static_cast<size_t>(l)] ? std::max<int64_t>(0, end - c.window) : 0;
  const int64_t keys = end - begin;
  const float* q = s.state.q.data() + t * c.q_width() + kv_head * group * d;  // (group, d)
  float* out = s.state.a.data() + t * c.q_width() + kv_head * group * d;      // (group, d)

  for (int64_t p = begin; p < end;) {
    const KvCache::Run run = s.cache.run(l, item.sequence, kv_head, p, end);
    const Matrix k{s.cache.type(), run.count, d, run.k};
    linear_rows(s.kernels, k, 0, run.count, {.tokens = group, .cols = d, .x = q},
                scores + (p - begin), keys);
    p += run.count;
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  for (int64_t g = 0; g < group; ++g) {
    float* row = scores + g * keys;
    for (int64_t i = 0; i < keys; ++i) row[i] *= scale;
    s.kernels.softmax(row, keys);
  }
  std::fill_n(out, group * d, 0.0f);
  for (int64_t p = begin; p < end;) {
    const KvCache::Run run = s.cache.run(l, item.sequence, kv_head, p, end);
    const Matrix v{s.cache.type(), run.count, d, run.v};
    for (int64_t i = 0; i < run.count; ++i) {
      for (int64_t g = 0; g < group; ++g) {
        axpy_row(s.kernels, v, i, 0, d, scores[g * keys + (p - begin) + i], out + g * d);
      }
    }
    p += run.count;
  }
}

}  // namespace

void prepare_rope(Step& s) {
  const int64_t half = s.config.head_dim / 2;
  for (int64_t i = 0; i < half; ++i) {
    const double frequency = std::pow(static_cast<double>(s.config.rope_theta),
                                      -static_cast<double>(i) / static_cast<double>(half));
    for (int64_t t = 0; t < s.tokens(); ++t) {
      const double angle = s.batch[static_cast<size_t>(t)].position * frequency;
      s.state.cos[static_cast<size_t>(t * half + i)] = static_cast<float>(std::cos(angle));
      s.state.sin[static_cast<size_t>(t * half + i)] = static_cast<float>(std::sin(angle));
    }
  }
}

void attention(Step& s, int64_t l) {
  const ModelConfig& c = s.config;
  const Layer& layer = s.weights.layers[static_cast<size_t>(l)];
  State& state = s.state;
  const int64_t T = s.tokens();
  const int64_t half = c.head_dim / 2;

  project(s, state.h.data(), c.hidden,
          {{layer.wq, state.q.data()}, {layer.wk, state.k.data()}, {layer.wv, state.v.data()}});

  s.pool.parallel_for(
      T, 1,
      [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          const BatchItem& item = s.batch[static_cast<size_t>(t)];
          float* q = state.q.data() + t * c.q_width();
          float* k = state.k.data() + t * c.kv_width();
          if (c.rope[static_cast<size_t>(l)]) {
            rotate(q, c.heads, c.head_dim, state.cos.data() + t * half,
                   state.sin.data() + t * half);
            rotate(k, c.kv_heads, c.head_dim, state.cos.data() + t * half,
                   state.sin.data() + t * half);
          }
          s.cache.store(s.kernels, l, item.sequence, item.position, k,
                        state.v.data() + t * c.kv_width());
        }
      },
      4 * T * c.q_width());

  // Later tokens see more keys, so threads take (token, head) items one at a time, not in halves.
  const int64_t scratch = static_cast<int64_t>(state.scores.size()) / s.pool.threads();
  std::atomic<int64_t> next{0};
  const auto attend_in_turn = [&](int thread, int) {
    for (int64_t i = next++; i < T * c.kv_heads; i = next++) {
      attend(s, l, i / c.kv_heads, i % c.kv_heads, state.scores.data() + thread * scratch);
    }
  };
  const int64_t keys = std::ranges::max(s.batch, {}, &BatchItem::position).position + 1;
  if (T * keys * c.q_width() < ThreadPool::kWorthSharing) {
    attend_in_turn(0, 1);
  } else {
    s.pool.run(attend_in_turn);
  }

  project(s, state.a.data(), c.q_width(), {{layer.wo, state.o.data()}});
  s.pool.parallel_for(T, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * c.hidden; i < end * c.hidden; ++i) {
      state.x[static_cast<size_t>(i)] += state.o[static_cast<size_t>(i)];
    }
  });
}

}  // namespace st
