// Attention of a layer, keys and values in F32, against plain sums in double precision.
#include "model/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <vector>

#include "experts/resident_experts.h"
#include "model/kv_pool.h"

namespace st {
namespace {

using Row = std::vector<double>;

constexpr size_t kTokens = 7, kHidden = 6, kHeads = 4, kKvHeads = 2, kDim = 8;

ModelConfig config() {
  ModelConfig c;
  c.layers = 2;
  c.hidden = kHidden;
  c.heads = kHeads;
  c.kv_heads = kKvHeads;
  c.head_dim = kDim;
  c.vocab = 1;
  c.rms_eps = 1e-2f;
  c.layer.assign(2, {.rope = {.theta = 100}, .window = 4, .ffn = {.width = 1}});
  return c;
}

std::vector<float> numbers(size_t n, float seed) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = std::sin(static_cast<float>(i) * 0.7f + seed);
  return values;
}

// The weights of a layer, and what it makes of its input.
struct Layer {
  explicit Layer(float seed)
      : wq(numbers(kHeads * kDim * kHidden, seed)),
        wk(numbers(kKvHeads * kDim * kHidden, seed + 1)),
        wv(numbers(kKvHeads * kDim * kHidden, seed + 2)),
        wo(numbers(kHidden * kHeads * kDim, seed + 3)),
        q_norm(numbers(kDim, seed + 4)),
        k_norm(numbers(kDim, seed + 5)) {}

  static Matrix matrix(const std::vector<float>& values, size_t rows) {
    return {DType::kF32, static_cast<int64_t>(rows), static_cast<int64_t>(values.size() / rows),
            reinterpret_cast<const std::byte*>(values.data())};
  }

  AttentionWeights weights(const LayerConfig& layer, bool norms) const {
    AttentionWeights w{.wq = matrix(wq, kHeads * kDim), .wo = matrix(wo, kHidden)};
    if (norms) w.q_norm = q_norm.data();
    if (!layer.owns_kv()) return w;
    w.wk = matrix(wk, kKvHeads * kDim);
    w.wv = matrix(wv, kKvHeads * kDim);
    if (norms) w.k_norm = k_norm.data();
    return w;
  }

  std::vector<float> wq, wk, wv, wo, q_norm, k_norm;
};

// W x for rows [begin, begin + n) of W, whose columns are as many as x has values.
Row product(const std::vector<float>& w, size_t begin, size_t n, const Row& x) {
  Row y(n);
  for (size_t r = 0; r < n; ++r) {
    for (size_t i = 0; i < x.size(); ++i) y[r] += x[i] * double{w[(begin + r) * x.size() + i]};
  }
  return y;
}

void normalise(Row& x, const std::vector<float>* weight, double eps) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  const double size = std::sqrt(squares / static_cast<double>(x.size()) + eps);
  for (size_t i = 0; i < x.size(); ++i) x[i] *= (weight ? double{(*weight)[i]} : 1.0) / size;
}

void rotate(Row& x, size_t position) {
  for (size_t i = 0; i < kDim / 2; ++i) {
    const double angle = static_cast<double>(position) * std::pow(100.0, -2.0 * double(i) / kDim);
    const double a = x[i], b = x[i + kDim / 2];
    x[i] = a * std::cos(angle) - b * std::sin(angle);
    x[i + kDim / 2] = b * std::cos(angle) + a * std::sin(angle);
  }
}

// `kv`: the layer whose keys and values are read. in: (T, D)
Row reference(const ModelConfig& c, const Layer& q_layer, const Layer& kv, bool norms,
              const std::vector<Row>& in, const std::vector<Row>& kv_in, size_t t) {
  const auto head_of = [&](const std::vector<float>& w, const std::vector<float>& norm,
                           const Row& x, size_t head, size_t position) {
    Row y = product(w, head * kDim, kDim, x);
    if (norms) normalise(y, &norm, double{c.rms_eps});
    rotate(y, position);
    return y;
  };
  Row heads;
  for (size_t h = 0; h < kHeads; ++h) {
    const size_t kv_head = h / (kHeads / kKvHeads);
    const Row q = head_of(q_layer.wq, q_layer.q_norm, in[t], h, t);
    Row sum(kDim);
    double total = 0;
    for (size_t p = t < 3 ? 0 : t - 3; p <= t; ++p) {  // a window of 4
      const Row k = head_of(kv.wk, kv.k_norm, kv_in[p], kv_head, p);
      Row v = product(kv.wv, kv_head * kDim, kDim, kv_in[p]);
      if (c.norm_values) normalise(v, nullptr, double{c.rms_eps});
      double score = 0;
      for (size_t i = 0; i < kDim; ++i) score += q[i] * k[i];
      const double scale =
          c.attention_scale == 0 ? 1 / std::sqrt(double{kDim}) : double{c.attention_scale};
      const double weight = std::exp(score * scale);
      total += weight;
      for (size_t i = 0; i < kDim; ++i) sum[i] += weight * v[i];
    }
    for (const double x : sum) heads.push_back(x / total);
  }
  return product(q_layer.wo, 0, kHidden, heads);
}

std::vector<Row> rows_of(const std::vector<float>& x) {
  std::vector<Row> rows;
  for (size_t t = 0; t < kTokens; ++t) {
    rows.emplace_back(x.begin() + static_cast<ptrdiff_t>(t * kHidden),
                      x.begin() + static_cast<ptrdiff_t>((t + 1) * kHidden));
  }
  return rows;
}

// Layer 0, and then layer 1, on inputs of their own.
void check(const ModelConfig& c, bool norms) {
  const Layer first(1), second(20);
  const std::vector<float> in[] = {numbers(kTokens * kHidden, 3), numbers(kTokens * kHidden, 8)};
  const Weights weights;
  ResidentExperts experts{{}};
  const LmHeadOptions head;
  std::vector<BatchItem> batch(kTokens);
  for (size_t t = 0; t < kTokens; ++t) batch[t].position = static_cast<int32_t>(t);
  for (const KernelTable* kernels : usable_kernels()) {
    ThreadPool pool(2);
    KvPool cache(c, KvType::kF32, 16, 1, kTokens);
    State state(c, kTokens, 2);
    Step step{c, weights, *kernels, pool, experts, cache, state, batch, head};
    cache.reserve(cache.create(), kTokens);
    prepare_attention(step);
    for (const size_t l : {size_t{0}, size_t{1}}) {
      const Layer& layer = l == 0 ? first : second;
      std::vector<float> out(kTokens * kHidden);
      attention(step, layer.weights(c.layer[l], norms), static_cast<int64_t>(l), in[l].data(),
                out.data());
      const bool own = c.layer[l].owns_kv();
      for (size_t t = 0; t < kTokens; ++t) {
        const Row want = reference(c, layer, own ? layer : first, norms, rows_of(in[l]),
                                   rows_of(in[own ? l : 0]), t);
        for (size_t i = 0; i < kHidden; ++i) {
          ASSERT_NEAR(out[t * kHidden + i], want[i], 3e-5)
              << kernels->name << " layer " << l << " token " << t;
        }
      }
    }
  }
}

TEST(Attention, IsTheDefinition) { check(config(), false); }

TEST(Attention, NormsOfHeadsComeBeforeRotation) { check(config(), true); }

TEST(Attention, ValuesAreNormalisedWithoutWeights) {
  ModelConfig c = config();
  c.norm_values = true;
  check(c, true);
}

TEST(Attention, ScoresAreScaledAsTheModelSays) {
  ModelConfig c = config();
  c.attention_scale = 1;
  check(c, true);
  c.attention_scale = 0.3f;
  check(c, true);
}

TEST(Attention, ALayerReadsTheKeysAndValuesOfAnother) {
  ModelConfig c = config();
  c.layer[1].kv_layer = 0;
  c.norm_values = true;
  check(c, true);
}

}  // namespace
}  // namespace st
