// Do made-up models behave as promised when they run?
//
// For the layers, tokens are evaluated one at a time, each the first of its sequence: attention
// then is Wo v, so that what happens inside a layer can be worked out from its input, which the
// engine shows, and the weights in the file. For the head they are evaluated as one text.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>
#include <random>
#include <tuple>

#include "arch/names.h"
#include "engine/engine.h"
#include "format/gguf_model.h"
#include "study/synth.h"
#include "study/synth_archs.h"
#include "study/synth_stream.h"
#include "support/feed_at.h"
#include "tensor/quantize.h"

namespace st {
namespace {

constexpr int kTokens = 400;

using Floats = std::vector<float>;

// Tensors of the file as floats.
class Weights {
 public:
  explicit Weights(const GgufModel& file) : file_(file) {}
  const Floats& operator[](const std::string& name) {
    Floats& values = loaded_[name];
    if (!values.empty()) return values;
    const auto [info, source] = file_.find(name);
    std::vector<std::byte> bytes(info->bytes);
    source->read_at(info->offset, bytes);
    const DTypeInfo& type = dtype_info(info->type);
    values.resize(info->bytes / type.block_bytes * type.block_values);
    dequantize_row(info->type, bytes.data(), std::ssize(values), values.data());
    return values;
  }

 private:
  const GgufModel& file_;
  std::map<std::string, Floats> loaded_;
};

// Rows [first, first + rows) of w (.., x.size()) times x.
Floats multiply(const Floats& w, size_t first, size_t rows, const Floats& x) {
  Floats y(rows);
  for (size_t r = 0; r < rows; ++r) {
    const float* row = w.data() + (first + r) * x.size();
    y[r] = std::inner_product(x.begin(), x.end(), row, 0.0f);
  }
  return y;
}

Floats rms_norm(const Floats& x) {
  const float squares = std::inner_product(x.begin(), x.end(), x.begin(), 0.0f);
  Floats y(x);
  for (float& v : y) v /= std::sqrt(squares / static_cast<float>(x.size()) + 1e-6f);
  return y;
}

std::vector<size_t> best(const Floats& scores, size_t k) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  order.resize(k);
  return order;
}

struct Behaviour {
  std::vector<double> sparsity;                  // by layer
  std::vector<std::vector<double>> frequencies;  // by layer, of experts, descending
  double survivors = 0;                          // share of the vocabulary
  double largest_survives = 0;                   // share of the tokens
  double repeats = 0;  // share of the tokens whose likeliest successor is themselves
  double logit_deviation = 0;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

class SynthBehaviour : public ::testing::TestWithParam<bool> {
 protected:
  SynthBehaviour() {
    options_.arch = "tiny";
    options_.transpose_down = GetParam();
    options_.predictor = true;
    const auto folder = std::filesystem::temp_directory_path();
    options_.outfile = (folder / ("st-synth-" + std::to_string(::getpid()) + ".gguf")).string();
  }
  ~SynthBehaviour() override { std::filesystem::remove(options_.outfile); }

  // Of the model that options_ describe, on random tokens.
  Behaviour measure();
  void count_layer(Weights& weights, size_t l, const Floats& x, Behaviour& out);
  void count_head(Weights& weights, const Floats& normed, std::span<const float> logits,
                  Token token, Behaviour& out);

  SynthOptions options_;
  const ModelConfig config_ = find_synth_arch("tiny").config;
};

void SynthBehaviour::count_layer(Weights& weights, size_t l, const Floats& x, Behaviour& out) {
  const auto tensor = [&](std::string_view name) -> const Floats& {
    return weights[names::layer(static_cast<int64_t>(l), name)];
  };
  const auto D = static_cast<size_t>(config_.hidden);
  const auto F = static_cast<size_t>(config_.widest_ffn());
  const auto d = static_cast<size_t>(config_.head_dim);
  const Floats scores =
      multiply(tensor(names::kRouter), 0, static_cast<size_t>(config_.most_experts()), x);

  const Floats v =
      multiply(tensor(names::kAttnV), 0, static_cast<size_t>(config_.kv_width()), rms_norm(x));
  Floats heads;
  const auto shared = static_cast<size_t>(config_.heads / config_.kv_heads);
  for (size_t h = 0; h < static_cast<size_t>(config_.heads); ++h) {
    const auto from = v.begin() + static_cast<ptrdiff_t>(h / shared * d);
    heads.insert(heads.end(), from, from + static_cast<ptrdiff_t>(d));
  }
  Floats middle = multiply(tensor(names::kAttnOutput), 0, D, heads);
  for (size_t i = 0; i < D; ++i) middle[i] += x[i];

  const Floats in = rms_norm(middle);
  for (const size_t e : best(scores, static_cast<size_t>(config_.most_used()))) {
    out.frequencies[l][e] += 1.0 / kTokens;
    const Floats gates = multiply(tensor(names::kFfnGate), e * F, F, in);
    out.sparsity[l] +=
        static_cast<double>(std::ranges::count_if(gates, [](float gate) { return gate <= 0; })) /
        static_cast<double>(F * config_.most_used() * kTokens);
  }
}

void SynthBehaviour::count_head(Weights& weights, const Floats& normed,
                                std::span<const float> logits, Token token, Behaviour& out) {
  const Floats& flat = weights[std::string(names::kPredictor)];
  const size_t V = logits.size();
  const size_t rank = flat.size() / (V + normed.size());
  const Floats up(flat.begin() + static_cast<ptrdiff_t>(rank * normed.size()), flat.end());
  const Floats scores = multiply(up, 0, V, multiply(flat, 0, rank, normed));
  const auto largest = static_cast<size_t>(std::ranges::max_element(logits) - logits.begin());
  const auto alive = std::ranges::count_if(scores, [](float score) { return score > 0; });
  out.survivors += static_cast<double>(alive) / static_cast<double>(V * kTokens);
  out.largest_survives += scores[largest] > 0 ? 1.0 / kTokens : 0;
  out.repeats += largest == static_cast<size_t>(token) ? 1.0 / kTokens : 0;
  double squares = 0;
  double sum = 0;
  for (const float logit : logits) {
    sum += logit;
    squares += logit * logit;
  }
  const double mean = sum / static_cast<double>(V);
  out.logit_deviation += std::sqrt(squares / static_cast<double>(V) - mean * mean) / kTokens;
}

Behaviour SynthBehaviour::measure() {
  synthesize(options_);
  Engine engine(options_.outfile, {});
  Weights weights(engine.model().file());
  Behaviour out;
  out.sparsity.resize(static_cast<size_t>(config_.layers));
  out.frequencies.assign(static_cast<size_t>(config_.layers),
                         std::vector<double>(static_cast<size_t>(config_.most_experts())));
  std::mt19937 random(1);
  std::vector<Token> tokens(kTokens);
  for (Token& token : tokens)
    token = static_cast<Token>(random() % static_cast<uint32_t>(config_.vocab));

  engine.observe([&](std::string_view what, int64_t layer, std::span<const float> x) {
    if (what != "norm" && layer + 1 < config_.layers)  // "embed" is layer -1
      count_layer(weights, static_cast<size_t>(layer + 1), {x.begin(), x.end()}, out);
  });
  for (const Token& token : tokens) {
    engine.evaluate(testkit::feed_at(engine, {&token, 1}, 0, true));
  }

  Floats normed;
  engine.observe([&](std::string_view what, int64_t, std::span<const float> x) {
    if (what == "norm") normed.assign(x.begin(), x.end());
  });
  const auto logits = engine.evaluate(testkit::feed_at(engine, tokens, 0, true));
  const auto D = static_cast<size_t>(config_.hidden);
  const auto V = static_cast<size_t>(config_.vocab);
  for (size_t t = 0; t < kTokens; ++t) {
    const auto row = std::span(normed).subspan(t * D, D);
    count_head(weights, {row.begin(), row.end()}, logits.subspan(t * V, V), tokens[t], out);
  }
  for (auto& frequencies : out.frequencies) std::ranges::sort(frequencies, std::greater());
  return out;
}

TEST_P(SynthBehaviour, IsThatOfTheRealModels) {
  const Behaviour b = measure();
  EXPECT_NEAR(median(b.sparsity), 0.65, 0.05);
  for (size_t l = 0; l < b.sparsity.size(); ++l) {
    EXPECT_GT(b.sparsity[l], l < 3 ? 0.9 : 0.55) << l;
    EXPECT_LT(b.sparsity[l], l < 3 ? 1.0 : 0.75) << l;
  }
  for (const auto& f : b.frequencies) {
    EXPECT_LT(f[0], 0.7);
    EXPECT_GT(f[4], 0.4);  // five hot ones, and for the others what remains
    EXPECT_LT(f[5], 0.2);
  }
  EXPECT_NEAR(b.survivors, 0.07, 0.015);
  EXPECT_GT(b.largest_survives, 0.7);
  EXPECT_LT(b.largest_survives, 0.95);
  EXPECT_LT(b.repeats, 0.05);
  EXPECT_NEAR(b.logit_deviation, 3, 0.5);
}

TEST_P(SynthBehaviour, FollowsTheOptions) {
  options_.gate_sparsity = 0.8;
  options_.router_skew = 0;
  options_.type = DType::kQ8_0;
  options_.seed = 5;
  const Behaviour b = measure();
  EXPECT_NEAR(median(b.sparsity), 0.8, 0.05);
  for (const auto& f : b.frequencies) {
    EXPECT_LT(f.front(), 0.4);  // all are about 4 of 16
    EXPECT_GT(f.back(), 0.1);
  }
  EXPECT_NEAR(b.survivors, 0.07, 0.015);
}

INSTANTIATE_TEST_SUITE_P(Layouts, SynthBehaviour, ::testing::Bool());

// The experts that kTokens random tokens of [first, end) choose.
std::vector<std::vector<size_t>> chosen(const SynthArch& arch, int64_t first, int64_t end,
                                        uint64_t key) {
  const SynthStream stream(arch.config);
  const Floats router = make_synth_router(arch, stream, 0, 1, key);
  std::vector<std::vector<size_t>> result;
  std::mt19937 random(2);
  for (int i = 0; i < kTokens; ++i) {
    const int64_t token =
        first + static_cast<int64_t>(random() % static_cast<uint64_t>(end - first));
    Row row;
    stream.token_row(token, 1, 1, row);
    std::vector<std::byte> bytes(
        row_bytes(DType::kQ4_0, static_cast<uint64_t>(arch.config.hidden)));
    fill_row(DType::kQ4_0, mix_bits(11, static_cast<uint64_t>(token)), row, bytes.data());
    Floats x(static_cast<size_t>(arch.config.hidden));
    dequantize_row(DType::kQ4_0, bytes.data(), arch.config.hidden, x.data());
    result.push_back(best(multiply(router, 0, static_cast<size_t>(arch.config.most_experts()), x),
                          static_cast<size_t>(arch.config.most_used())));
  }
  return result;
}

// Their frequencies, in the order of the experts.
std::vector<double> frequencies(const SynthArch& arch, int64_t first, int64_t end, uint64_t key) {
  std::vector<double> result(static_cast<size_t>(arch.config.most_experts()));
  for (const auto& experts : chosen(arch, first, end, key)) {
    for (const size_t e : experts) result[e] += 1.0 / kTokens;
  }
  return result;
}

int overlap(const std::vector<double>& a, const std::vector<double>& b) {
  int both = 0;
  for (size_t e = 0; e < a.size(); ++e) both += a[e] > 0.25 && b[e] > 0.25;
  return both;
}

TEST(SynthRouting, HotExpertsOfTheReleasedShapes) {
  for (const auto& [name, hot] : {std::pair{"4b", size_t{7}}, {"21b", size_t{12}}}) {
    const SynthArch arch = find_synth_arch(name);
    const int64_t V = arch.config.vocab;
    const std::vector<double> all = frequencies(arch, 0, V, 3);
    std::vector<double> sorted = all;
    std::ranges::sort(sorted, std::greater());
    EXPECT_LT(sorted[0], 0.6) << name;
    EXPECT_GT(sorted[hot - 1], 0.35) << name;
    EXPECT_LT(sorted[hot], 0.14) << name;
    // Hot sets are a layer's own, and some of each is the topic's.
    EXPECT_EQ(overlap(all, all), static_cast<int>(hot)) << name;
    EXPECT_LT(overlap(all, frequencies(arch, 0, V, 4)), static_cast<int>(hot) / 2 + 1) << name;
    const std::vector<double> last_topic = frequencies(arch, V - 1000, V, 3);
    EXPECT_EQ(overlap(last_topic, last_topic), static_cast<int>(hot)) << name;
    EXPECT_EQ(overlap(all, last_topic), static_cast<int>(hot - hot * 3 / 7)) << name;
  }
}

// Share of a layer's experts that are there when wanted, of as many as 4000 MiB hold, the one used
// longest ago giving way.
double share_there(const SynthArch& arch, int64_t tokens) {
  const size_t expert = 3 * row_bytes(DType::kQ4_0, 2048) * 768;
  const size_t slots = (size_t{4000} << 20) / expert / static_cast<size_t>(arch.config.layers);
  std::vector<size_t> there;  // the one used last at the end
  double hits = 0, asked = 0;
  for (const auto& experts : chosen(arch, 0, tokens, 5)) {
    for (const size_t e : experts) {
      const auto it = std::ranges::find(there, e);
      const bool full = there.size() == slots;
      asked += full ? 1 : 0;
      hits += full && it != there.end() ? 1 : 0;
      if (it != there.end()) {
        there.erase(it);
      } else if (full) {
        there.erase(there.begin());
      }
      there.push_back(e);
    }
  }
  return hits / asked;
}

TEST(SynthRouting, ACacheOfAQuarterHasFourOfFive) {
  const SynthArch arch = find_synth_arch("qwen3-30b-a3b");
  EXPECT_NEAR(share_there(arch, arch.config.vocab), 0.77, 0.02);            // of all topics
  EXPECT_NEAR(share_there(arch, arch.config.vocab * 7 / 10), 0.785, 0.02);  // of one
}

// Other families run: what a layer adds keeps its size, so that logits are finite, as far apart as
// they should be, and none of a tied model repeats its input.
class SynthRuns : public ::testing::TestWithParam<std::tuple<const char*, DType>> {};

TEST_P(SynthRuns, AsAModelOfItsFamily) {
  const auto& [arch, type] = GetParam();
  const std::string file = (std::filesystem::temp_directory_path() /
                            fmt::format("st-synth-{}-{}.gguf", ::getpid(), arch))
                               .string();
  synthesize({.arch = arch, .outfile = file, .type = type});
  Engine engine(file, {.threads = 2, .context = 256});
  const auto V = static_cast<size_t>(engine.config().vocab);
  std::vector<Token> tokens;
  std::mt19937 random(3);
  for (int i = 0; i < 100; ++i) tokens.push_back(static_cast<Token>(500 + random() % (V - 600)));
  size_t at = 0, repeats = 0;
  double squares = 0;
  engine.evaluate({engine.cache().create(), tokens, Wanted::kAll},
                  [&](std::span<const float> rows) {
                    for (; !rows.empty(); rows = rows.subspan(V)) {
                      for (const float logit : rows.first(V)) {
                        ASSERT_TRUE(std::isfinite(logit)) << at;
                        squares += logit * logit;
                      }
                      const auto largest = std::ranges::max_element(rows.first(V)) - rows.begin();
                      repeats += largest == tokens[at++] ? 1 : 0;
                    }
                  });
  EXPECT_EQ(at, tokens.size());
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(V * at)), 3, 0.4);
  EXPECT_LT(repeats, 3u);
  std::filesystem::remove(file);
}
INSTANTIATE_TEST_SUITE_P(
    Families, SynthRuns,
    ::testing::Combine(::testing::Values("qwen3-tiny", "qwen3-moe-tiny", "gemma3n-tiny"),
                       ::testing::Values(DType::kQ4_0, DType::kQ8_0, DType::kF16, DType::kF32)));

}  // namespace
}  // namespace st
