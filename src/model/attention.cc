#include "model/attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "base/round.h"
#include "model/blocks.h"

namespace st {
namespace {

// For a value of a query, a position costs two products of 16 bits: as long as so many
// multiply-adds with weights.
constexpr int64_t kKeyCost = 4;

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

// Each of n heads by itself. weight: (d), or null for ones. heads: (n, d)
void norm_heads(const Step& s, const float* weight, int64_t n, float* heads) {
  const int64_t d = s.config.head_dim;
  for (float* head = heads; head < heads + n * d; head += d) {
    s.kernels.rms_norm(head, weight, s.config.rms_eps, d, head);
  }
}

// Cuts the batch into runs of neighbours: tokens that read nearly the same keys, so each tile of
// keys that is read serves them all.
void find_blocks(Step& s) {
  const int64_t group = s.config.heads / s.config.kv_heads;
  const int64_t most = std::clamp<int64_t>(kAttentionQueries / group, 1, kAttentionTokens);
  std::vector<TokenBlock>& blocks = s.state.blocks;
  blocks.clear();
  for (int64_t t = 0; t < s.tokens(); ++t) {
    const BatchItem& item = s.batch[static_cast<size_t>(t)];
    const BatchItem& before = s.batch[static_cast<size_t>(std::max<int64_t>(t - 1, 0))];
    const bool follows = item.sequence == before.sequence && item.position == before.position + 1;
    if (follows && blocks.back().tokens < most) {
      ++blocks.back().tokens;
    } else {
      blocks.push_back({t, 1});
    }
  }
}

// Query heads [begin, end) of a key/value head's group, for a block of tokens.
void attend(Step& s, int64_t l, const TokenBlock& tokens, int64_t kv_head, int64_t begin,
            int64_t end, float* scratch) {
  const ModelConfig& c = s.config;
  const int64_t window = c.layer[static_cast<size_t>(l)].window;
  const BatchItem& first = s.batch[static_cast<size_t>(tokens.first)];
  const int64_t head = kv_head * (c.heads / c.kv_heads) + begin;
  const int64_t at = tokens.first * c.q_width() + head * c.head_dim;
  s.kernels.attend({.tile = s.cache.tile(),
                    .tiles = s.cache.tiles(l, first.sequence, kv_head),
                    .position = first.position,
                    .tokens = tokens.tokens,
                    .window = window > 0 ? window : INT64_MAX,
                    .group = end - begin,
                    .divisor = c.score_divisor(),
                    .q = s.state.q.data() + at,
                    .out = s.state.a.data() + at,
                    .stride = c.q_width()},
                   scratch);
}

// a = softmax(q k^T * scale + mask) v, shared by block of tokens and key/value head. Where those
// are fewer than threads, the query heads of a group are divided as well.
void attend_all(Step& s, int64_t l) {
  const ModelConfig& c = s.config;
  const std::vector<TokenBlock>& blocks = s.state.blocks;
  const int64_t group = c.heads / c.kv_heads;
  const int64_t pairs = std::ssize(blocks) * c.kv_heads;
  const int64_t fewest = div_up(group, kAttentionQueries);
  const int64_t parts = std::clamp(div_up<int64_t>(s.pool.threads(), pairs), fewest, group);

  std::atomic<int64_t> next{0};
  const auto attend_in_turn = [&](int thread, int) {
    float* scratch =
        s.state.scratch.data() + thread * attention_scratch(kAttentionQueries, c.head_dim);
    for (int64_t i = next++; i < pairs * parts; i = next++) {
      s.stop.check();
      const int64_t pair = pairs - 1 - i / parts;  // from the end: later tokens see more keys
      const int64_t part = i % parts;
      attend(s, l, blocks[static_cast<size_t>(pair / c.kv_heads)], pair % c.kv_heads,
             part * group / parts, (part + 1) * group / parts, scratch);
    }
  };
  const int64_t keys = std::ranges::max(s.batch, {}, &BatchItem::position).position + 1;
  if (kKeyCost * s.tokens() * keys * c.q_width() < ThreadPool::kWorthSharing) {
    attend_in_turn(0, 1);
  } else {
    s.pool.run(attend_in_turn);
  }
}

// From the projections to q as it is scored with, and to keys and values in the cache.
void finish_heads(Step& s, const AttentionWeights& w, int64_t l, int64_t t) {
  const ModelConfig& c = s.config;
  const LayerConfig& layer = c.layer[static_cast<size_t>(l)];
  const Rotation* rotation = s.state.rotation(layer.rope);
  const int64_t at = t * (c.head_dim / 2);
  const auto finish = [&](const float* norm, int64_t n, float* heads) {
    if (norm != nullptr) norm_heads(s, norm, n, heads);
    if (rotation == nullptr) return;
    rotate(heads, n, c.head_dim, rotation->cos.data() + at, rotation->sin.data() + at);
  };
  finish(w.q_norm, c.heads, s.state.q.data() + t * c.q_width());
  if (!layer.owns_kv()) return;
  float* k = s.state.k.data() + t * c.kv_width();
  float* v = s.state.v.data() + t * c.kv_width();
  finish(w.k_norm, c.kv_heads, k);
  if (c.norm_values) norm_heads(s, nullptr, c.kv_heads, v);
  const BatchItem& item = s.batch[static_cast<size_t>(t)];
  s.cache.store(s.kernels, l, item.sequence, item.position, k, v);
}

}  // namespace

void prepare_attention(Step& s) {
  find_blocks(s);
  const int64_t d = s.config.head_dim, half = d / 2;
  for (Rotation& rotation : s.state.rotations) {
    const double magnitude = rotation.rope.magnitude;
    for (int64_t i = 0; i < half; ++i) {
      const double frequency = rotation.rope.frequency(i, d);
      for (int64_t t = 0; t < s.tokens(); ++t) {
        const double angle = s.batch[static_cast<size_t>(t)].position * frequency;
        const auto at = static_cast<size_t>(t * half + i);
        rotation.cos[at] = static_cast<float>(magnitude * std::cos(angle));
        rotation.sin[at] = static_cast<float>(magnitude * std::sin(angle));
      }
    }
  }
}

void attention(Step& s, const AttentionWeights& w, int64_t l, const float* in, float* out) {
  const ModelConfig& c = s.config;
  State& state = s.state;
  const int64_t T = s.tokens();
  const auto values = static_cast<size_t>(T * c.hidden);
  const std::span<const float> x(in, values);

  if (c.layer[static_cast<size_t>(l)].owns_kv()) {
    project(s, x, T, {{w.wq, state.q.span()}, {w.wk, state.k.span()}, {w.wv, state.v.span()}});
  } else {
    project(s, x, T, {{w.wq, state.q.span()}});
  }
  s.pool.parallel_for(
      T, 1,
      [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) finish_heads(s, w, l, t);
      },
      4 * T * c.q_width());

  attend_all(s, l);

  project(s, state.a.span(), T, {{w.wo, {out, values}}});
}

}  // namespace st
