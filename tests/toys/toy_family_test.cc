// A family of models is one file, and everything else works with it: its logits are those of plain
// loops over the same weights, whatever the threads, the micro-batches and the budget.
#include "toys/toy_family.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "engine/engine.h"
#include "shapes/made_model.h"
#include "support/bytes.h"
#include "support/temporary_folder.h"

namespace st {
namespace {

using Vector = std::vector<double>;
using Tensors = std::map<std::string, std::vector<float>>;

shapes::Shape toy_shape() {
  shapes::Shape shape = shapes::smallest();
  ModelConfig& c = shape.config;
  c.architecture = "toy";
  c.layers = 3;
  c.hidden = 24;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 8;
  shape.ffn.experts = 6;
  shape.ffn.used = 2;
  shape.ffn.width = 20;
  shape.more_norms = {"post_attention_norm"};
  return shape;
}

// The toy's forward pass in double precision, straight from its definition.
class Reference {
 public:
  explicit Reference(const Tensors& tensors) : tensors_(tensors), c_(toy_shape().config) {}

  // Logits after the last token.
  Vector logits(const std::vector<Token>& tokens) {
    std::vector<Vector> x;  // (T, D)
    for (const Token token : tokens) x.push_back(row("token_embd.weight", token, c_.hidden));
    for (l_ = 0; l_ < c_.layers; ++l_) {
      std::vector<Vector> keys, values;
      for (size_t t = 0; t < x.size(); ++t) {
        const Vector h = norm(x[t], of_layer("attn_norm"));
        keys.push_back(rotated(times("attn_k", h), t));
        values.push_back(times("attn_v", h));
        const Vector q = rotated(times("attn_q", h), t);
        add(x[t],
            norm(times("attn_output", attend(q, keys, values)), of_layer("post_attention_norm")));
      }
      for (Vector& token : x) add(token, experts(norm(token, of_layer("ffn_norm"))));
    }
    const Vector last = norm(x.back(), "output_norm.weight");
    Vector out;
    for (Token v = 0; v < c_.vocab; ++v)
      out.push_back(dot(row("token_embd.weight", v, c_.hidden), last));
    return out;
  }

 private:
  std::string of_layer(const std::string& name) const {
    return "blk." + std::to_string(l_) + "." + name + ".weight";
  }
  Vector row(const std::string& tensor, int64_t i, int64_t cols) const {
    const auto begin = tensors_.at(tensor).begin() + i * cols;
    return {begin, begin + cols};
  }
  static double dot(const Vector& a, const Vector& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  }
  static void add(Vector& x, const Vector& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }
  // Rows first .. first + n - 1 of a matrix of this layer, times x.
  Vector times(const std::string& name, const Vector& x, int64_t first = 0, int64_t n = 0) const {
    const std::string tensor = of_layer(name);
    const auto cols = std::ssize(x);
    if (n == 0) n = std::ssize(tensors_.at(tensor)) / cols;
    Vector y;
    for (int64_t r = 0; r < n; ++r) y.push_back(dot(row(tensor, first + r, cols), x));
    return y;
  }
  Vector norm(const Vector& x, const std::string& tensor) const {
    const Vector weight = row(tensor, 0, c_.hidden);
    const double mean = dot(x, x) / static_cast<double>(x.size());
    Vector y;
    for (size_t i = 0; i < x.size(); ++i) {
      y.push_back(x[i] / std::sqrt(mean + double{c_.rms_eps}) * weight[i]);
    }
    return y;
  }
  Vector rotated(Vector heads, size_t position) const {
    const double theta = l_ % 2 == 0 ? 100 : 1e4;
    const int64_t d = c_.head_dim, half = d / 2;
    for (int64_t i = 0; i < std::ssize(heads); ++i) {
      if (i % d >= half) continue;
      const double angle = static_cast<double>(position) *
                           std::pow(theta, -static_cast<double>(i % d) / static_cast<double>(half));
      double &a = heads[static_cast<size_t>(i)], &b = heads[static_cast<size_t>(i + half)];
      const double rotated_a = a * std::cos(angle) - b * std::sin(angle);
      b = b * std::cos(angle) + a * std::sin(angle);
      a = rotated_a;
    }
    return heads;
  }
  Vector attend(const Vector& q, const std::vector<Vector>& keys,
                const std::vector<Vector>& values) const {
    const auto d = static_cast<size_t>(c_.head_dim);
    Vector out(q.size());
    for (size_t head = 0; head < static_cast<size_t>(c_.heads); ++head) {
      const size_t from = head / static_cast<size_t>(c_.heads / c_.kv_heads) * d;
      Vector weights;
      for (const Vector& k : keys) {
        double score = 0;
        for (size_t i = 0; i < d; ++i) score += q[head * d + i] * k[from + i];
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(d))));
      }
      const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
      for (size_t p = 0; p < keys.size(); ++p) {
        for (size_t i = 0; i < d; ++i) {
          out[head * d + i] += weights[p] / sum * values[p][from + i];
        }
      }
    }
    return out;
  }
  Vector experts(const Vector& h) const {
    const Vector scores = times("ffn_gate_inp", h);
    std::vector<size_t> order(scores.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::sort(order, [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    order.resize(static_cast<size_t>(ffn_.used));
    double sum = 0;
    for (const size_t e : order) sum += std::exp(scores[e]);
    Vector out(h.size());
    for (const size_t expert : order) {
      const auto e = static_cast<int64_t>(expert);
      Vector neurons = times("ffn_gate_exps", h, e * ffn_.width, ffn_.width);
      const Vector up = times("ffn_up_exps", h, e * ffn_.width, ffn_.width);
      for (size_t j = 0; j < neurons.size(); ++j) {
        neurons[j] *= up[j] / (1 + std::exp(-neurons[j]));
      }
      Vector down = times("ffn_down_exps", neurons, e * c_.hidden, c_.hidden);
      for (double& value : down) value *= std::exp(scores[expert]) / sum;
      add(out, down);
    }
    return out;
  }

  const Tensors& tensors_;
  const ModelConfig c_;
  const Ffn ffn_ = toy_shape().ffn;
  int64_t l_ = 0;
};

TEST(ToyFamily, IsOneFileThatEverythingWorksWith) {
  const TemporaryFolder folder;
  Tensors tensors;
  shapes::write_model(toy_shape(), 9, folder / "toy.gguf",
                      [&](std::string_view name, std::span<float> values) {
                        tensors[std::string(name)].assign(values.begin(), values.end());
                      });
  std::vector<Token> tokens;
  for (int i = 0; i < 40; ++i) tokens.push_back(static_cast<Token>((i * 37 + 5) % 256));
  const Vector want = Reference(tensors).logits(tokens);
  std::vector<float> first;
  for (const uint64_t memory : {uint64_t{0}, uint64_t{1} << 30}) {
    for (const int64_t micro_batch : {1, 7, 512}) {
      const Architecture* const known[] = {&kToy};
      const ModelOptions opened{.stream = memory > 0, .architectures = known};
      Engine engine(std::make_shared<const Model>(folder / "toy.gguf", opened),
                    {.threads = 2, .micro_batch = micro_batch, .memory = memory});
      const auto logits = engine.evaluate({engine.cache().create(), tokens});
      ASSERT_EQ(logits.size(), want.size());
      for (size_t v = 0; v < want.size(); ++v) EXPECT_NEAR(logits[v], want[v], 2e-4) << v;
      if (first.empty()) first.assign(logits.begin(), logits.end());
      EXPECT_TRUE(std::ranges::equal(logits, first)) << micro_batch << " " << memory;
    }
  }
}

TEST(ToyFamily, IsUnknownToThosePrograms) {
  const TemporaryFolder folder;
  shapes::write_model(toy_shape(), 9, folder / "toy.gguf");
  EXPECT_EQ(testkit::error_of([&] { Engine(folder / "toy.gguf"); }),
            "architecture 'toy' unsupported (known: smallthinker, qwen3, qwen3moe, gemma3n)");
}

}  // namespace
}  // namespace st
