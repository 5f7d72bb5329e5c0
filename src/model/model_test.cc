#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "experts/resident_experts.h"
#include "kernels/kernels.h"
#include "model/config.h"
#include "model/expert_ffn.h"
#include "model/forward.h"
#include "model/kv_pool.h"
#include "model/linear.h"
#include "model/lm_head.h"
#include "model/router.h"
#include "tensor/layout.h"
#include "tensor/quantize.h"
#include "tensor/regroup.h"

namespace st {
namespace {

ModelConfig small_config() {
  ModelConfig c;
  c.architecture = "smallthinker";
  c.layers = 2;
  c.hidden = 8;
  c.heads = 2;
  c.kv_heads = 1;
  c.head_dim = 4;
  c.vocab = 16;
  c.context = 64;
  const Ffn ffn{.routed = true, .experts = 5, .used = 3, .width = 4};
  c.layer = {{.rope = {.theta = 1e6f}, .ffn = ffn},
             {.rope = {.theta = 1e6f}, .window = 5, .ffn = ffn}};
  return c;
}

std::string error_for(const ModelConfig& c) {
  try {
    check_config(c, "p.");
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Config, RefusesImpossibleNumbers) {
  EXPECT_EQ(error_for(small_config()), "no error");
  ModelConfig c = small_config();
  c.layers = 513;
  EXPECT_EQ(error_for(c), "key p.block_count 513: want 1..512");
  c = small_config();
  c.layer[0].ffn.used = 6;
  EXPECT_EQ(error_for(c), "key p.expert_used_count 6 > expert_count 5");
  c = small_config();
  c.heads = 3;
  c.kv_heads = 2;
  EXPECT_EQ(error_for(c), "key p.attention.head_count 3 is not a multiple of head_count_kv 2");
  c = small_config();
  c.head_dim = 5;
  EXPECT_EQ(error_for(c), "key p.attention.key_length 5 is odd");
  c = small_config();
  c.rms_eps = std::nanf("");
  EXPECT_EQ(error_for(c),
            "key p.attention.layer_norm_rms_epsilon nan: want more than 0, less than 1");
  c = small_config();
  c.layer[1].window = -1;
  EXPECT_EQ(error_for(c), "key p.attention.sliding_window -1: want 0..134217728");
  c = small_config();
  c.layer[1].rope.theta = 0.5f;
  EXPECT_EQ(error_for(c), "key p.rope.freq_base 0.5: want 1..1e12");
  c.layer[1].rope = {.theta = 1e4f, .factor = 0};
  EXPECT_EQ(error_for(c), "key p.rope.scaling.factor 0: want a finite number above 0");
  c = small_config();
  c.layer[1].rope = {.theta = 1e4f, .yarn_context = -1};
  EXPECT_EQ(error_for(c), "key p.rope.scaling.original_context_length -1: want 0..134217728");
  c.layer[1].rope = {.theta = 1e4f, .yarn_context = 64, .beta_fast = 1};
  EXPECT_EQ(error_for(c), "key p.rope.scaling.yarn_beta_fast 1: want more than yarn_beta_slow 1");
  c.layer[1].rope = {.theta = 1e4f, .magnitude = 0};
  EXPECT_EQ(error_for(c), "key p.rope.scaling.attn_factor 0: want a finite number above 0");
  c = small_config();
  c.attention_scale = -1;
  EXPECT_EQ(error_for(c), "key p.attention.scale -1: want a finite number, 0 or more");
}

// As NumPy has them by the formulas of transformers' _compute_yarn_parameters().
TEST(RopeFrequency, OfYarn) {
  const Rope qwen{.theta = 1e6f, .factor = 4, .yarn_context = 32768};
  const std::pair<int64_t, double> want[] = {{0, 1.0},
                                             {1, 0.8058421877614819},
                                             {23, 0.006978305848598663},
                                             {24, 0.005375321490790102},
                                             {30, 0.0010643609812470017},
                                             {39, 6.490394320837028e-05},
                                             {40, 4.445698525097307e-05},
                                             {41, 3.582531425592407e-05},
                                             {63, 3.102344401879299e-07}};
  for (const auto& [i, frequency] : want) {
    EXPECT_NEAR(qwen.frequency(i, 128), frequency, 1e-12 * frequency) << i;
  }
  const Rope other{
      .theta = 1e4f, .factor = 8, .yarn_context = 2048, .beta_fast = 16, .beta_slow = 2};
  const std::pair<int64_t, double> others[] = {{0, 1.0},
                                               {10, 0.056234132519034905},
                                               {12, 0.02470529422006546},
                                               {15, 0.006042518989490062},
                                               {20, 0.00039528470752104737},
                                               {31, 1.666901790204155e-05}};
  for (const auto& [i, frequency] : others) {
    EXPECT_NEAR(other.frequency(i, 64), frequency, 1e-12 * frequency) << i;
  }
}

// Layer 1 may read the keys of layer 0 where both see as far back, but not the other way round.
TEST(Config, RefusesKeysThatAreNotThere) {
  const std::string what = "key p.attention.shared_kv_layers: layer ";
  ModelConfig c = small_config();
  c.layer[1] = {.kv_layer = 0, .ffn = c.ffn(0)};
  EXPECT_EQ(error_for(c), "no error");
  c.layer[1].window = 5;
  EXPECT_EQ(error_for(c), what + "1 cannot read the keys of layer 0");
  c.layer[1] = {.kv_layer = 1};
  EXPECT_EQ(error_for(c), what + "1 cannot read the keys of layer 1");
  c.layer[0] = {.kv_layer = 1};
  EXPECT_EQ(error_for(c), what + "0 cannot read the keys of layer 1");
  c.layer = {{}, {.kv_layer = 0}, {.kv_layer = 1}};
  EXPECT_EQ(error_for(c), what + "2 cannot read the keys of layer 1");
}

// y = W x through every type a file may hold, against plain arithmetic on the decoded weights.
TEST(Linear, EveryWeightType) {
  constexpr int64_t kRows = 33, kCols = 256, kTokens = 3;
  std::vector<float> weights(kRows * kCols), x(kTokens * kCols);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = std::sin(static_cast<float>(i) * 0.37f);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::cos(static_cast<float>(i) * 0.11f);
  ThreadPool pool(2);
  Q8Buffer buffer(kTokens, kCols);
  for (const DTypeInfo& info : all_dtypes()) {
    const DType type = info.type;
    const uint64_t stride = row_bytes(type, kCols);
    std::vector<std::byte> bytes(kRows * stride);
    if (can_quantize(type)) {
      for (int64_t r = 0; r < kRows; ++r) {
        quantize_row(type, weights.data() + r * kCols, kCols,
                     bytes.data() + static_cast<uint64_t>(r) * stride);
      }
    } else {  // any bytes will do, with small scales in every half-precision place
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>((i * 37) & 0x3B);
    }
    if (is_split(type)) {
      std::vector<std::byte> split(bytes.size());
      split_rows(type, bytes.data(), 0, kRows, kRows, kCols, split.data());
      bytes = std::move(split);
    }
    const Matrix w{type, kRows, kCols, bytes.data()};
    std::vector<float> y(kTokens * kRows);
    const Projection projection[] = {{w, y}};
    linear(pick_kernels(), pool, x, kTokens, projection, buffer);
    for (int64_t r = 0; r < kRows; ++r) {
      std::vector<float> row(kCols);
      dequantize_row(w, r, row.data());
      for (int64_t t = 0; t < kTokens; ++t) {
        double want = 0, scale = 0;
        for (int64_t c = 0; c < kCols; ++c) {
          const double term = static_cast<double>(row[static_cast<size_t>(c)]) *
                              x[static_cast<size_t>(t * kCols + c)];
          want += term;
          scale += std::abs(term);
        }
        // Quantised activations are off by at most 1/254 of their block's largest value.
        const double bar = pick_kernels().format(type).wants_q8() ? 8e-3 * scale : 1e-5 * scale;
        EXPECT_NEAR(y[static_cast<size_t>(t * kRows + r)], want, bar) << dtype_name(type);
      }
    }
  }
}

// Routing on hand-made scores: the router is the identity, so z is x.
struct RouterTest : testing::Test {
  ModelConfig c = small_config();
  Weights weights;
  ThreadPool pool{1};
  ResidentExperts experts{{}};
  std::vector<float> identity;

  ExpertPlan route_scores(const std::vector<std::vector<float>>& z, Gating gating) {
    c.gating = gating;
    c.hidden = c.most_experts();
    identity.assign(static_cast<size_t>(c.most_experts() * c.most_experts()), 0.0f);
    for (int64_t e = 0; e < c.most_experts(); ++e)
      identity[static_cast<size_t>(e * c.most_experts() + e)] = 1;
    const Matrix router{DType::kF32, c.most_experts(), c.most_experts(),
                        reinterpret_cast<const std::byte*>(identity.data())};
    KvPool cache(c, KvType::kF32, 8, 1, 8);
    State state(c, 8, 1);
    const std::vector<BatchItem> batch(z.size());
    const LmHeadOptions head;
    Step step{c, weights, pick_kernels(), pool, experts, cache, state, batch, head};
    for (size_t t = 0; t < z.size(); ++t) {
      std::copy(z[t].begin(), z[t].end(), state.x.data() + t * z[t].size());
    }
    state.failures.resize(z.size());
    route(step, 0, router, state.x.data());
    failures = state.failures;
    return state.plan;
  }

  std::vector<std::optional<Error>> failures;
};

TEST_F(RouterTest, ChoosesTheBestAndBreaksTiesByIndex) {
  const ExpertPlan plan = route_scores({{1, 3, 2, 3, 0}, {5, 5, 5, 5, 5}}, Gating::kSoftmax);
  EXPECT_EQ(plan.chosen, (std::vector<int32_t>{1, 3, 2, 0, 1, 2}));
  const double sum = 2 * std::exp(3.0) + std::exp(2.0);
  EXPECT_NEAR(plan.weights[0], std::exp(3.0) / sum, 1e-6);
  EXPECT_NEAR(plan.weights[2], std::exp(2.0) / sum, 1e-6);
  EXPECT_NEAR(plan.weights[5], 1.0 / 3, 1e-6);
  // Pairs by expert: 0 -> token 1, 1 -> both, 2 -> both, 3 -> token 0.
  EXPECT_EQ(plan.experts, (std::vector<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(plan.begin, (std::vector<int64_t>{0, 1, 3, 5, 6}));
  EXPECT_EQ(plan.token, (std::vector<int32_t>{1, 0, 1, 0, 1, 0}));
  EXPECT_EQ(plan.pair, (std::vector<int32_t>{1, 5, 3, 0, 2, 4}));
}

TEST_F(RouterTest, SigmoidWeightsSumToOne) {
  const ExpertPlan plan = route_scores({{0, 2, -1, 1, -2}}, Gating::kSigmoid);
  const auto sigmoid = [](double z) { return 1 / (1 + std::exp(-z)); };
  const double sum = sigmoid(2) + sigmoid(1) + sigmoid(0);
  EXPECT_NEAR(plan.weights[0], sigmoid(2) / sum, 1e-6);
  EXPECT_NEAR(plan.weights[2], sigmoid(0) / sum, 1e-6);
}

template <typename Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidData);
    return e.what();
  }
  return "no error";
}

// The token fails; the others are routed as they would be without it.
TEST_F(RouterTest, ScoresThatAreNotFiniteFailTheirToken) {
  const ExpertPlan alone = route_scores({{1, 2, 3, 4, 5}}, Gating::kSoftmax);
  for (const float nonsense : {std::nanf(""), INFINITY, -INFINITY}) {
    for (const size_t expert : {0, 3, 4}) {
      std::vector<std::vector<float>> z{{1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}};
      z[1][expert] = nonsense;
      for (const Gating gating : {Gating::kSigmoid, Gating::kSoftmax}) {
        const ExpertPlan plan = route_scores(z, gating);
        EXPECT_FALSE(failures[0]);
        ASSERT_TRUE(failures[1]);
        EXPECT_EQ(failures[1]->code(), ErrorCode::kInvalidData);
        // The identity makes NaN of all: 0 * infinity.
        EXPECT_STREQ(failures[1]->what(),
                     "layer 0: router score of expert 0 is not a finite number");
        EXPECT_TRUE(std::equal(alone.chosen.begin(), alone.chosen.end(), plan.chosen.begin()));
      }
    }
  }
}

TEST_F(RouterTest, WeightsOfTheSmallestSigmoidsAreZero) {
  const ExpertPlan zero = route_scores({{-1e4f, -1e4f, -1e4f, -1e4f, -1e4f}}, Gating::kSigmoid);
  for (const float w : zero.weights) EXPECT_EQ(w, 0.0f);  // defined, not 0 / 0
}

// A store that listens to guesses.
struct Listening final : ExpertStore {
  Listening() : ExpertStore({}) {}
  void prefetch(int64_t, const ExpertDemand&) override {}
  bool wants_guess() override { return true; }
  void guess(int64_t, std::span<const int32_t> experts) override {
    heard.assign(experts.begin(), experts.end());
  }
  bool ready(int64_t, int32_t) override { return true; }
  Matrix await(int64_t, int32_t, ExpertPart) override { return {}; }
  void release(int64_t) override {}
  std::vector<int32_t> heard;
};

TEST_F(RouterTest, AGuessNamesDistinctExpertsEvenOfNonsense) {
  const float nan = std::nanf("");
  const std::vector<float> values(static_cast<size_t>(c.most_experts() * c.hidden), nan);
  const Matrix router{DType::kF32, c.most_experts(), c.hidden,
                      reinterpret_cast<const std::byte*>(values.data())};
  KvPool cache(c, KvType::kF32, 8, 1, 8);
  State state(c, 8, 1);
  const std::vector<BatchItem> batch(1);
  const LmHeadOptions head;
  Listening store;
  Step step{c, weights, pick_kernels(), pool, store, cache, state, batch, head};
  foresee(step, 0, router, state.x.data());
  EXPECT_EQ(store.heard, (std::vector<int32_t>{0, 1, 2}));
}

// ---- Experts ----

// The experts of a layer with weights that an encoder has rounded, and what they stand for.
struct MadeExperts {
  ExpertLayer layer;
  std::vector<float> values[kExpertParts];  // (E, rows, cols) as (F, D), (F, D), (D, F)
  std::vector<std::byte> bytes[kExpertParts];

  MadeExperts(const ModelConfig& c, DType type, DownLayout layout) {
    layer.layout = layout;
    for (const ExpertPart part : kEachPart) {
      const auto i = static_cast<size_t>(part);
      const bool down = part == ExpertPart::kDown;
      std::vector<float>& v = values[i];
      v.resize(static_cast<size_t>(c.most_experts() * c.widest_ffn() * c.hidden));
      for (size_t k = 0; k < v.size(); ++k) {
        v[k] = std::sin(static_cast<float>(k) * 0.7f + static_cast<float>(i));
      }
      const int64_t rows = down ? c.hidden : c.widest_ffn(),
                    cols = down ? c.widest_ffn() : c.hidden;
      std::vector<std::byte> blocks(static_cast<size_t>(c.most_experts() * rows) *
                                    row_bytes(type, static_cast<uint64_t>(cols)));
      quantize_row(type, v.data(), std::ssize(v), blocks.data());
      dequantize_row(type, blocks.data(), std::ssize(v), v.data());
      MatrixStack& stack = part == ExpertPart::kGate ? layer.gate
                           : part == ExpertPart::kUp ? layer.up
                                                     : layer.down;
      const bool by_neuron = down && layout == DownLayout::kRegrouped;
      stack.prototype = {type, by_neuron ? cols : rows, by_neuron ? rows : cols, nullptr};
      stack.count = c.most_experts();
      stack.file.bytes = static_cast<uint64_t>(rows) * row_bytes(type, static_cast<uint64_t>(cols));
      stack.step = by_neuron ? neuron_rows_bytes(type, rows, cols) : stack.file.bytes;
      if (is_split(type)) stack.arrangement = Arrangement::kSplit;
      if (by_neuron) stack.arrangement = Arrangement::kByNeuron;
      bytes[i].resize(static_cast<size_t>(c.most_experts()) * stack.step);
      for (int64_t e = 0; e < c.most_experts(); ++e) {
        const auto at = static_cast<uint64_t>(e);
        arrange(stack, blocks.data() + at * stack.file.bytes, bytes[i].data() + at * stack.step);
      }
      stack.prototype.data = bytes[i].data();
    }
  }

  // Row r of a part of expert e, times x.
  double dot(ExpertPart part, int64_t e, int64_t r, std::span<const double> x, int64_t rows) const {
    const float* w = values[static_cast<size_t>(part)].data() + (e * rows + r) * std::ssize(x);
    double sum = 0;
    for (size_t c = 0; c < x.size(); ++c) sum += w[c] * x[c];
    return sum;
  }
};

// What the gates of a token become.
std::vector<double> activated(const Ffn& ffn, std::vector<double> gates) {
  const auto gelu = [](double x) {
    return x / 2 *
           (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * std::pow(x, 3))));
  };
  if (ffn.cuts()) {
    const auto n = static_cast<double>(gates.size());
    double mean = 0, variance = 0;
    for (const double x : gates) mean += x / n;
    for (const double x : gates) variance += (x - mean) * (x - mean) / n;
    for (double& x : gates) x = std::max(x - mean - double{ffn.cutoff} * std::sqrt(variance), 0.0);
  }
  for (double& x : gates) {
    x = ffn.activation == Activation::kRelu   ? std::max(x, 0.0)
        : ffn.activation == Activation::kSilu ? x / (1 + std::exp(-x))
                                              : gelu(x);
  }
  return gates;
}

// All activations, for every type of weights and place of the down matrix, against plain
// arithmetic; and `out` is added to.
TEST(ExpertFfn, IsTheFormula) {
  ModelConfig c = small_config();
  c.hidden = 64;
  c.layer[0].ffn.width = 96;
  constexpr int64_t kTokens = 9;
  const std::pair<Activation, float> kinds[] = {
      {Activation::kRelu, -INFINITY}, {Activation::kSilu, -INFINITY},
      {Activation::kGelu, -INFINITY}, {Activation::kGelu, 1.3f},
      {Activation::kGelu, 0.0f},      {Activation::kGelu, -0.6f}};
  for (const DType type : {DType::kF32, DType::kF16, DType::kQ8_0, DType::kQ4_0}) {
    const DownLayout by_type = is_split(type) ? DownLayout::kRegrouped : DownLayout::kOutputs;
    for (const DownLayout layout : {DownLayout::kOutputs, by_type}) {
      const MadeExperts made(c, type, layout);
      ResidentExperts experts({made.layer});
      for (const auto& [activation, cutoff] : kinds) {
        c.layer[0].ffn.activation = activation;
        c.layer[0].ffn.cutoff = cutoff;
        for (const KernelTable* kernels : usable_kernels()) {
          ThreadPool pool(2);
          const Weights weights;
          KvPool cache(c, KvType::kF32, 16, 1, 16);
          State state(c, kTokens, 2);
          const std::vector<BatchItem> batch(kTokens);
          const LmHeadOptions head;
          Step step{c, weights, *kernels, pool, experts, cache, state, batch, head};
          ExpertPlan& plan = state.plan;  // token t: expert 1 and, of odd ones, 3, else 4
          plan.experts = {1, 3, 4};
          plan.begin = {0, 9, 13, 18};
          plan.token = {0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 5, 7, 0, 2, 4, 6, 8};
          c.layer[0].ffn.used = 2;
          plan.pair.resize(18);
          plan.weights.resize(18);
          for (size_t pair = 0; pair < 18; ++pair) {
            const auto t = static_cast<size_t>(plan.token[pair]);
            plan.pair[2 * t + (pair >= 9)] = static_cast<int32_t>(pair);
            plan.weights[2 * t + (pair >= 9)] = pair >= 9 ? 0.75f : 0.25f;
          }
          std::vector<float> in(kTokens * 64), out(in.size(), 0.5f);
          for (size_t i = 0; i < in.size(); ++i) in[i] = std::cos(static_cast<float>(i) * 0.3f);
          expert_ffn(step, 0, in.data(), out.data());
          int64_t active = 0;
          for (int64_t t = 0; t < kTokens; ++t) {
            const std::vector<double> x(in.begin() + t * 64, in.begin() + (t + 1) * 64);
            std::vector<double> want(64, 0.5);
            for (const int64_t e : {int64_t{1}, t % 2 == 1 ? int64_t{3} : int64_t{4}}) {
              std::vector<double> h(96);
              for (size_t j = 0; j < 96; ++j) {
                h[j] = made.dot(ExpertPart::kGate, e, static_cast<int64_t>(j), x, 96);
              }
              h = activated(c.ffn(0), h);
              active += std::ranges::count_if(h, [](double v) { return v != 0; });
              for (size_t j = 0; j < 96; ++j) {
                h[j] *= made.dot(ExpertPart::kUp, e, static_cast<int64_t>(j), x, 96);
              }
              for (int64_t d = 0; d < 64; ++d) {
                want[static_cast<size_t>(d)] +=
                    (e == 1 ? 0.25 : 0.75) * made.dot(ExpertPart::kDown, e, d, h, 64);
              }
            }
            for (size_t d = 0; d < 64; ++d) {
              ASSERT_NEAR(out[static_cast<size_t>(t) * 64 + d], want[d], is_split(type) ? 2 : 1e-3)
                  << kernels->name << ' ' << dtype_name(type) << ' ' << static_cast<int>(layout);
            }
          }
          // Gates within rounding of the cutoff may count.
          EXPECT_NEAR(static_cast<double>(state.stats.active_neurons), static_cast<double>(active),
                      is_split(type) ? 40 : 1)
              << kernels->name << ' ' << dtype_name(type) << ' ' << cutoff;
        }
      }
    }
  }
}

// ---- Layers without keys of their own ----

// Counts tokens; a layer adds 1 to x and twice that to the buffer beside it, and fails token 12.
class Counting final : public Decoder {
 public:
  Counting() : Decoder({}) {}
  void begin(Step& s) const override {
    for (int64_t t = 0; t < s.tokens(); ++t) {
      const float token = static_cast<float>(s.batch[static_cast<size_t>(t)].token);
      std::fill_n(s.state.x.data() + t * s.config.hidden, s.config.hidden, token);
      std::fill_n(s.state.extra[0].data() + t * 3, 3, -token);
    }
  }
  void layer(Step& s, int64_t l) const override {
    tokens.push_back(s.tokens());
    for (int64_t t = 0; t < s.tokens(); ++t) {
      const BatchItem& item = s.batch[static_cast<size_t>(t)];
      const float want = static_cast<float>(item.token + l);
      for (int64_t i = 0; i < s.config.hidden; ++i) {
        EXPECT_EQ(s.state.x.data()[t * s.config.hidden + i]++, want);
      }
      for (int64_t i = 0; i < 3; ++i) {
        EXPECT_EQ(s.state.extra[0].data()[t * 3 + i], static_cast<float>(2 * l - item.token));
        s.state.extra[0].data()[t * 3 + i] += 2;
      }
      EXPECT_EQ(s.state.blocks.size(), 1u) << "made anew for the tokens that are left";
      if (item.token == 12) {
        s.state.failures[static_cast<size_t>(t)] = Error(ErrorCode::kInvalidData, "no number");
      }
    }
  }
  void end(Step& s) const override { ended.push_back(s.tokens()); }

  mutable std::vector<int64_t> tokens, ended;
};

struct WantedTest : testing::Test {
  WantedTest() {
    c.layers = 4;
    c.extra = {3};
    c.layer = {{}, {}, {.kv_layer = 0}, {.kv_layer = 1}};
    c.vocab = 2;
    weights.output = {DType::kF32, 2, 8, reinterpret_cast<const std::byte*>(ones.data())};
    weights.output_norm = ones.data();
  }

  // Runs tokens 10, 11, ...; the number of tokens of each layer.
  std::vector<int64_t> run(const std::vector<bool>& wanted, bool observed = false) {
    ThreadPool pool(1);
    ResidentExperts experts{{}};
    KvPool cache(c, KvType::kF32, 8, 1, 8);
    State state(c, 8, 1);
    std::vector<BatchItem> batch;
    for (const bool logits : wanted) {
      const auto t = static_cast<int32_t>(batch.size());
      batch.push_back({.token = 10 + t, .position = t, .logits = logits});
    }
    const LmHeadOptions head;
    Step step{c, weights, pick_kernels(), pool, experts, cache, state, batch, head};
    const Observer observer = [](auto...) {};
    if (observed) step.observer = &observer;
    const Counting decoder;
    rows = forward(decoder, step).size() / 2;
    EXPECT_EQ(step.batch.data(), batch.data());
    failures = state.failures;
    ended = decoder.ended;
    return decoder.tokens;
  }

  ModelConfig c = small_config();
  std::vector<float> ones = std::vector<float>(16, 1.0f);
  Weights weights;
  size_t rows = 0;
  std::vector<int64_t> ended;
  std::vector<std::optional<Error>> failures;
};

TEST_F(WantedTest, TheyComputeWhatIsWanted) {
  using Tokens = std::vector<int64_t>;
  EXPECT_EQ(run({false, false, true, true, false}), (Tokens{5, 5, 2, 2}));
  EXPECT_EQ(rows, 2u);
  EXPECT_EQ(ended, Tokens{2});
  ASSERT_EQ(failures.size(), 5u);
  for (size_t t = 0; t < 5; ++t) EXPECT_EQ(failures[t].has_value(), t == 2) << t;
  EXPECT_EQ(run({false, false, false, true}), (Tokens{4, 4, 1, 1}));
  EXPECT_TRUE(failures[2]) << "of a layer before";
  EXPECT_EQ(run({true, true, true}), (Tokens{3, 3, 3, 3}));
  EXPECT_EQ(run({false, false, false}), (Tokens{3, 3}));
  EXPECT_EQ(rows, 0u);
  EXPECT_EQ(ended, Tokens{});
  EXPECT_TRUE(failures[2]);
  EXPECT_EQ(run({false, false, true}, true), (Tokens{3, 3, 3, 3})) << "somebody looks";
  EXPECT_EQ(rows, 1u);
  c.layer[3].kv_layer = -1;
  EXPECT_EQ(run({false, false, true}), (Tokens{3, 3, 3, 3})) << "the last has keys of its own";
}

// ---- Room ----

TEST(Room, ProjectionsBeyondItAreRefused) {
  constexpr int64_t kRows = 32, kCols = 64;
  const std::vector<float> weights(kRows * kCols * 4);  // bytes of any type
  ThreadPool pool(1);
  for (const DType type : {DType::kF32, DType::kQ8_0}) {
    const Matrix w{type, kRows, kCols, reinterpret_cast<const std::byte*>(weights.data())};
    const auto attempt = [&](int64_t x_values, int64_t y_values, int64_t buffer_tokens,
                             int64_t tokens) {
      Q8Buffer buffer(buffer_tokens, kCols);
      const std::vector<float> x(static_cast<size_t>(x_values), 1.0f);
      std::vector<float> y(static_cast<size_t>(y_values));
      const Projection projection[] = {{w, y}};
      return message_of([&] { linear(pick_kernels(), pool, x, tokens, projection, buffer); });
    };
    EXPECT_EQ(attempt(3 * kCols, 3 * kRows, 3, 3), "no error");
    EXPECT_EQ(attempt(3 * kCols - 1, 3 * kRows, 3, 3),
              "a projection needs room for 192 values of x, there is room for 191");
    EXPECT_EQ(attempt(3 * kCols, 3 * kRows - 1, 3, 3),
              "a projection needs room for 96 values of y, there is room for 95");
    EXPECT_EQ(attempt(3 * kCols, 3 * kRows, 2, 3),
              type == DType::kF32
                  ? "no error"
                  : "a projection needs room for 192 values in 8 bits, there is room for 128");
  }
}

TEST(Room, TilesBeyondItAreRefused) {
  constexpr int64_t kCols = 64;
  for (const KernelTable* kernels : usable_kernels()) {
    if (kernels->tile_tokens == 0) continue;
    const int64_t tile = kernels->tile_tokens;
    ThreadPool pool(1);
    Q8Buffer from(2 * tile, kCols), to(2 * tile, kCols, 1);
    const std::vector<float> x(static_cast<size_t>(2 * tile * kCols), 1.0f);
    const Q8Rows rows = from.quantize(*kernels, pool, x.data(), 2 * tile, kCols);
    std::vector<int32_t> index(static_cast<size_t>(2 * tile));
    to.pack(*kernels, rows, index.data(), 0, 0, 2 * tile, kCols);
    const int64_t past = kMaxTileTokens / tile + 1;  // groups before, each with a tile of its own
    const std::string message =
        message_of([&] { to.pack(*kernels, rows, index.data(), 0, past, 2 * tile, kCols); });
    EXPECT_EQ(message, fmt::format("a projection needs room for {} values in tiles, there is room "
                                   "for {}",
                                   (past + 2) * tile * 128, (2 * tile + kMaxTileTokens) * 128));
  }
}

// What a plan says a state takes is what it takes.
TEST(Room, OfAStateIsAsPlanned) {
  ModelConfig c = small_config();
  c.extra = {3, 40};
  for (const int64_t hidden : {8, 33, 256}) {
    c.hidden = hidden;
    for (const int64_t tokens : {1, 2, 3, 64}) {
      for (const int threads : {1, 7}) {
        const State state(c, tokens, threads);
        const uint64_t most = State::fixed_bytes(c, threads) +
                              static_cast<uint64_t>(tokens) * State::bytes_per_token(c);
        if (tokens * c.most_used() >= c.most_experts()) {
          EXPECT_EQ(state.bytes(), most) << hidden << " " << tokens;
        } else {
          EXPECT_LT(state.bytes(), most) << hidden << " " << tokens;
        }
      }
    }
  }
}

// A head of 16 rows whose predictor scores row v with 8 - v, whatever the input.
struct LmHeadTest : testing::Test {
  LmHeadTest() {
    for (size_t v = 0; v < 16; ++v) {
      for (size_t i = 0; i < 8; ++i) output.push_back(std::sin(static_cast<float>(v * 8 + i)));
      up.push_back(8 - static_cast<float>(v));
    }
    down.assign(8, 0);
    down[0] = 1;  // h[0] is 1 below
    const auto matrix = [](const std::vector<float>& values, int64_t rows, int64_t cols) {
      return Matrix{DType::kF32, rows, cols, reinterpret_cast<const std::byte*>(values.data())};
    };
    weights.output = matrix(output, 16, 8);
    weights.predictor_down = matrix(down, 1, 8);
    weights.predictor_up = matrix(up, 16, 1);
    weights.output_norm = ones.data();
  }

  // Logits of one token, all components 1 after the norm.
  std::vector<float> logits(const LmHeadOptions& head, size_t rows = 1, bool sparse = true) {
    ModelConfig c = small_config();
    c.logit_softcap = softcap;
    ThreadPool pool(2);
    ResidentExperts experts{{}};
    KvPool cache(c, KvType::kF32, 8, 1, 8);
    State state(c, 8, 1);
    const std::vector<BatchItem> batch(rows, {.logits = true, .sparse = sparse});
    state.failures.resize(rows);
    std::fill_n(state.x.data(), 8 * rows, 1.0f);
    Step step{c, weights, pick_kernels(), pool, experts, cache, state, batch, head};
    const std::span<const float> out = lm_head(step);
    seen = state.agreement;
    failure = state.failures.back();
    computed = state.stats.head_rows;
    return {out.begin(), out.end()};
  }

  std::vector<float> output, up, down, ones = std::vector<float>(8, 1.0f);
  Weights weights;
  float softcap = 0;
  LmHeadAgreement seen;
  std::optional<Error> failure;  // of the last row
  uint64_t computed = 0;
};

TEST_F(LmHeadTest, SkippedRowsAreMinusInfinityAndOthersAsInTheDenseHead) {
  const std::vector<float> dense = logits({});
  EXPECT_EQ(computed, 16u);
  const std::vector<float> sparse =
      logits({.mode = LmHead::kSparse, .threshold = 5.5f, .floor = 1, .always = {9, 15}});
  EXPECT_EQ(computed, 5u);
  for (size_t v = 0; v < 16; ++v) {
    const bool kept = v < 3 || v == 9 || v == 15;
    EXPECT_EQ(sparse[v], kept ? dense[v] : -HUGE_VALF) << v;
  }
}

// Skipped rows stay -infinity, which is not what a cap makes of them.
TEST_F(LmHeadTest, CapsWhatIsComputed) {
  const LmHeadOptions sparse_head{.mode = LmHead::kSparse, .threshold = 5.5f, .floor = 1};
  const std::vector<float> dense = logits({}, 3), sparse = logits(sparse_head, 3);
  softcap = 0.75f;
  const std::vector<float> capped = logits({}, 3), capped_sparse = logits(sparse_head, 3);
  for (size_t i = 0; i < dense.size(); ++i) {
    EXPECT_NEAR(capped[i], 0.75 * std::tanh(dense[i] / 0.75), 1e-6) << i;
    EXPECT_EQ(capped_sparse[i], std::isfinite(sparse[i]) ? capped[i] : -HUGE_VALF) << i;
  }
  EXPECT_EQ(logits({.mode = LmHead::kCheck, .threshold = 5.5f, .floor = 1}, 3), capped);
}

TEST_F(LmHeadTest, TheFloorKeepsTheLargestScores) {
  const std::vector<float> sparse = logits({.mode = LmHead::kSparse, .threshold = 100, .floor = 6});
  EXPECT_EQ(computed, 6u);
  for (size_t v = 0; v < 16; ++v) EXPECT_EQ(std::isfinite(sparse[v]), v < 6) << v;
  logits({.mode = LmHead::kSparse, .threshold = 100, .floor = 1000});
  EXPECT_EQ(computed, 16u);
}

TEST_F(LmHeadTest, SeveralRowsAtOnceAreWhatEachIsAlone) {
  const LmHeadOptions head{.mode = LmHead::kSparse, .threshold = 5.5f, .floor = 1, .always = {9}};
  const std::vector<float> one = logits(head);
  std::vector<float> three = logits(head, 3);
  EXPECT_EQ(computed, 12u);
  ASSERT_EQ(three.size(), 3 * one.size());
  for (size_t i = 0; i < three.size(); ++i) EXPECT_EQ(three[i], one[i % one.size()]) << i;
}

TEST_F(LmHeadTest, DenseForTokensThatNeedAllRowsAndWithoutPredictor) {
  const LmHeadOptions head{.mode = LmHead::kSparse, .threshold = 5.5f, .floor = 1};
  logits(head, 2, false);
  EXPECT_EQ(computed, 32u);
  weights.predictor_up = {};
  logits(head);
  EXPECT_EQ(computed, 16u);
}

TEST_F(LmHeadTest, CheckCountsWhatSparseWouldKeep) {
  const std::vector<float> dense = logits({});
  const auto best = std::ranges::max_element(dense) - dense.begin();
  EXPECT_EQ(logits({.mode = LmHead::kCheck, .threshold = 5.5f, .floor = 1}), dense);
  EXPECT_EQ(seen.steps, 1u);
  EXPECT_EQ(seen.best_kept, best < 3 ? 1u : 0u);
  EXPECT_EQ(seen.top20_kept, 3u);  // of the 16 there are
}

TEST_F(LmHeadTest, ScoresThatAreNotFiniteFailTheirToken) {
  for (const float nonsense : {std::nanf(""), INFINITY, -INFINITY}) {
    for (const LmHead mode : {LmHead::kSparse, LmHead::kCheck}) {
      up.at(11) = nonsense;
      logits({.mode = mode, .threshold = 5.5f, .floor = 1});
      ASSERT_TRUE(failure);
      EXPECT_EQ(failure->code(), ErrorCode::kInvalidData);
      EXPECT_STREQ(failure->what(), "lm-head predictor: score of token 11 is not a finite number");
      up.at(11) = 0;
    }
  }
}

}  // namespace
}  // namespace st
