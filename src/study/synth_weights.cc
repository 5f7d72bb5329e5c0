#include "study/synth_weights.h"

#include <algorithm>
#include <cmath>

#include "arch/names.h"
#include "study/synth_gemma3n.h"
#include "study/synth_rows.h"
#include "study/synth_stream.h"
#include "tensor/blocks.h"

namespace st {
namespace {

constexpr double kScoreDeviation = 2;  // of q.k / sqrt(d): attends to a few keys, not to all

constexpr double kFirstLayers[] = {0.96, 0.94, 0.92};  // sparsity; the report has 0.9 to 1.0
constexpr double kLayerSpread = 0.08;                  // width of the range of the other layers
constexpr double kNeuronSpread = 0.5;  // deviation of a neuron's bias: some are hot, some cold
constexpr double kSiluSquare = 0.356;  // E[silu(g)^2] for g normal with deviation 1

constexpr double kLogitDeviation = 3;
constexpr double kTopicBonus = 1.5;  // for logits of the topic, in deviations: topics last a while
// The predictor sees the topic and a few output channels.
constexpr int64_t kRank = 128;
constexpr int64_t kPredictable = 2;  // blocks
// As measured on the 4B: 7 % of the scores are positive, and among them 87 % of the time that of
// the largest logit.
constexpr double kSurvivors = 0.07;
constexpr double kLargestSurvives = 0.87;
// The part of the topic's bonus that scores have too: with all of it, every token of a topic would
// survive (10 % instead of 7 % of all); with none, the largest logit too seldom.
constexpr double kTopicInScores = 0.3;
// Of the final norm. Small, for the constant reaches all logits of a tied model alike.
constexpr double kConstantWeight = 1.0 / kBlock;

// The part of a logit's deviation that is in the predictable channels if the largest of `vocab`
// logits survives as often as it should. Given that it is m deviations above the mean, its score is
// normal around m * share.
double predictable_share(int64_t vocab) {
  const double largest = normal_quantile(1 - 0.56 / static_cast<double>(vocab));  // e^-0.577 / V
  const double threshold = normal_quantile(1 - kSurvivors);
  const double margin = normal_quantile(kLargestSurvives);
  double low = 0;
  double high = 1;
  for (int i = 0; i < 60; ++i) {
    const double share = (low + high) / 2;
    const bool enough = largest * share - threshold > margin * std::sqrt(1 - share * share);
    (enough ? high : low) = share;
  }
  return high;
}

class Planner {
 public:
  Planner(const SynthArch& arch, const SynthOptions& options)
      : arch_(arch),
        c_(arch.config),
        options_(options),
        stream_(arch.config),
        share_(predictable_share(c_.vocab)) {}

  std::vector<SynthTensor> plan() {
    const uint64_t embedding_key = next_key();
    matrix(names::kEmbedding, c_.vocab, c_.hidden, embedding_key,
           [s = stream_](int64_t token, Row& row) { s.token_row(token, 1, 1, row); });
    for (int64_t l = 0; l < c_.layers; ++l) plan_layer(l);
    vector(names::kOutputNorm, output_norm());
    uint64_t head_key = embedding_key;
    if (!arch_.tied) {
      head_key = next_key();
      matrix(names::kOutput, c_.vocab, c_.hidden, head_key, [s = stream_](int64_t token, Row& row) {
        s.token_row(token, 0, SynthStream::kOutputEmbedding, row);
      });
    }
    if (options_.predictor) plan_predictor(head_key);
    return std::move(tensors_);
  }

 private:
  uint64_t next_key() { return mix_bits(options_.seed, keys_++); }

  void matrix(std::string_view name, int64_t rows, int64_t cols, uint64_t key,
              std::function<void(int64_t, Row&)> describe, int64_t stacked = 1) {
    std::vector<uint64_t> ne{static_cast<uint64_t>(cols), static_cast<uint64_t>(rows)};
    if (stacked > 1) ne.push_back(static_cast<uint64_t>(stacked));
    SynthTensor& tensor = tensors_.emplace_back();
    tensor.name = name;
    tensor.type = options_.type;
    tensor.ne = std::move(ne);
    tensor.parts.push_back({rows * stacked, cols, key, std::move(describe)});
  }

  void floats(std::string_view name, std::vector<uint64_t> ne,
              std::function<std::vector<float>()> make) {
    SynthTensor& tensor = tensors_.emplace_back();
    tensor.name = name;
    tensor.ne = std::move(ne);
    tensor.floats = std::move(make);
  }
  void vector(std::string_view name, const std::vector<float>& values) {
    floats(name, {values.size()}, [values] { return values; });
  }
  void ones(std::string_view name, int64_t n) {
    vector(name, std::vector<float>(static_cast<size_t>(n), 1.0f));
  }

  // Rows that read the stream without a bias.
  void readers(std::string_view name, int64_t rows, double deviation, int64_t stacked = 1) {
    matrix(
        name, rows, c_.hidden, next_key(),
        [=, s = stream_](int64_t, Row& row) { s.reader_row(0, deviation, row); }, stacked);
  }

  // A matrix (D, cols) that adds to the stream, but not to what is to stay.
  void writers(std::string_view name, int64_t cols, double deviation, int64_t stacked = 1) {
    matrix(
        name, c_.hidden, cols, next_key(),
        [=, D = c_.hidden](int64_t r, Row& row) {
          const bool stays = r % D < SynthStream::kInput * kBlock;
          row.push_back(stays ? Stretch::zeros(cols / kBlock)
                              : Stretch::random(cols / kBlock, deviation, 0));
        },
        stacked);
  }

  void plan_layer(int64_t l) {
    using names::layer;
    const double read = stream_.reading(l);
    // q.k / sqrt(d) has the product of their deviations.
    const double score = read * std::sqrt(kScoreDeviation);
    ones(layer(l, names::kAttnNorm), c_.hidden);
    readers(layer(l, names::kAttnQ), c_.q_width(), score);
    readers(layer(l, names::kAttnK), c_.kv_width(), score);
    readers(layer(l, names::kAttnV), c_.kv_width(), read);
    writers(layer(l, names::kAttnOutput), c_.q_width(),
            std::sqrt(SynthStream::kAttentionVariance / static_cast<double>(c_.layers) /
                      static_cast<double>(c_.q_width())));
    const bool is_qwen = c_.architecture != "smallthinker";
    if (is_qwen) {
      // Normed heads of d channels: q.k / sqrt(d) has the product of the weights as its deviation.
      for (const char* name : {"attn_q_norm", "attn_k_norm"}) {
        vector(layer(l, name), std::vector<float>(static_cast<size_t>(c_.head_dim),
                                                  static_cast<float>(std::sqrt(kScoreDeviation))));
      }
    }
    ones(layer(l, names::kFfnNorm), c_.hidden);
    if (c_.ffn(l).routed) {
      floats(layer(l, names::kRouter),
             {static_cast<uint64_t>(c_.hidden), static_cast<uint64_t>(c_.ffn(l).experts)},
             [=, arch = arch_, s = stream_, skew = options_.router_skew, key = next_key()] {
               return make_synth_router(arch, s, l, skew, key, is_qwen);
             });
    }
    c_.ffn(l).activation == Activation::kRelu ? plan_experts(l) : plan_swiglu(l);
  }

  // Experts or a dense network whose gates are never exactly 0.
  void plan_swiglu(int64_t l) {
    const Ffn& ffn = c_.ffn(l);
    const auto& [gate, up, down] = ffn.routed ? names::kExpertParts : names::kDenseParts;
    const double read = stream_.reading(l);
    readers(names::layer(l, gate), ffn.width, read, ffn.experts);
    readers(names::layer(l, up), ffn.width, read, ffn.experts);
    const double hidden = kSiluSquare * static_cast<double>(ffn.width);
    const double gates = ffn.routed ? arch_.sum_square_gates : 1;
    writers(
        names::layer(l, down), ffn.width,
        std::sqrt(SynthStream::kFfnVariance / static_cast<double>(c_.layers) / (hidden * gates)),
        ffn.experts);
  }

  // Share of gates that are not positive.
  double sparsity(int64_t l, uint64_t key) const {
    const double first = l < std::ssize(kFirstLayers) ? kFirstLayers[l] : 0;
    const double spread = kLayerSpread * (unit_interval(mix_bits(key, 0)) - 0.5);
    return std::max(first, std::clamp(options_.gate_sparsity + spread, 0.01, 0.99));
  }

  void plan_experts(int64_t l) {
    using names::layer;
    const auto [E, F] = std::pair(c_.ffn(l).experts, c_.ffn(l).width);
    const double read = stream_.reading(l);
    const uint64_t bias_key = next_key();
    // A gate is normal over tokens and, by its bias, over neurons.
    const double deviation = std::sqrt(1 + kNeuronSpread * kNeuronSpread);
    const double threshold = normal_quantile(sparsity(l, bias_key));
    const double unit = stream_.rms(l) / kBlock;  // weights that make a bias of 1
    matrix(
        layer(l, names::kFfnGate), F, c_.hidden, next_key(),
        [=, s = stream_](int64_t r, Row& row) {
          const double own = normal_deviate(mix_bits(bias_key, static_cast<uint64_t>(r) + 1));
          s.reader_row(-unit * (threshold * deviation + kNeuronSpread * own), read, row);
        },
        E);
    readers(layer(l, names::kFfnUp), F, read, E);
    const double hidden =  // sum of squares of relu(gate) * up
        deviation * deviation * rectified_square(threshold) * static_cast<double>(F);
    const double write = std::sqrt(SynthStream::kFfnVariance / static_cast<double>(c_.layers) /
                                   (hidden * arch_.sum_square_gates));
    if (!options_.transpose_down) return writers(layer(l, names::kFfnDown), F, write, E);
    matrix(
        layer(l, names::kFfnDown), F, c_.hidden, next_key(),
        [=, blocks = stream_.blocks()](int64_t, Row& row) {
          row.push_back(Stretch::zeros(SynthStream::kInput));
          row.push_back(Stretch::random(blocks - SynthStream::kInput, write, 0));
        },
        E);
  }

  // Weight of the final norm that gives `blocks` of the output this share of the logits'
  // deviation.
  double head_weight(double share, int64_t blocks) const {
    return share * kLogitDeviation * stream_.rms(c_.layers) /
           (std::sqrt(static_cast<double>(blocks * kBlock)) * SynthStream::kOutputEmbedding *
            stream_.output_deviation());
  }

  std::vector<float> output_norm() const {
    std::vector<float> weights;
    const auto append = [&](int64_t blocks, double value) {
      weights.insert(weights.end(), static_cast<size_t>(blocks * kBlock),
                     static_cast<float>(value));
    };
    append(1, kConstantWeight);
    append(1, kTopicBonus * kLogitDeviation * stream_.rms(c_.layers) / SynthStream::kTopicChannels);
    append(stream_.inputs(), 0);
    append(kPredictable, head_weight(share_, kPredictable));
    const int64_t rest = stream_.outputs() - kPredictable;
    append(rest, head_weight(std::sqrt(1 - share_ * share_), rest));
    return weights;
  }

  // fc1 (R, D) picks channels and fc2 (V, R) repeats what the output matrix has for them. Scores
  // are thus the part of the logits that is in these channels, less a bias that few exceed.
  void plan_predictor(uint64_t head_key) {
    SynthRows down{kRank, c_.hidden, 0, [s = stream_](int64_t r, Row& row) {
                     const int64_t block = r / kBlock;
                     const int64_t source = block < SynthStream::kInput
                                                ? block
                                                : block - SynthStream::kInput + s.output();
                     row.push_back(Stretch::zeros(source));
                     row.push_back(Stretch::constant(1, 1, uint32_t{1} << (r % kBlock)));
                     row.push_back(Stretch::zeros(s.blocks() - source - 1));
                   }};
    const double threshold = normal_quantile(1 - kSurvivors) * share_ * kLogitDeviation;
    const double bias = -threshold * stream_.rms(c_.layers) / (kBlock * kConstantWeight);
    SynthRows up{
        c_.vocab, kRank, head_key, [=, s = stream_](int64_t token, Row& row) {
          row.push_back(Stretch::constant(1, bias));
          row.push_back(Stretch::constant(1, kTopicInScores, s.topic_mask(token)));
          row.push_back(Stretch::random(kPredictable, SynthStream::kOutputEmbedding, s.output()));
        }};
    SynthTensor& tensor = tensors_.emplace_back();
    tensor.name = names::kPredictor;
    tensor.type = options_.type;
    tensor.ne = {static_cast<uint64_t>(kRank * (c_.hidden + c_.vocab))};
    tensor.parts = {std::move(down), std::move(up)};
  }

  const SynthArch& arch_;
  const ModelConfig& c_;
  const SynthOptions& options_;
  const SynthStream stream_;
  const double share_;  // of the logits' deviation, in predictable channels
  uint64_t keys_ = 0;
  std::vector<SynthTensor> tensors_;
};

}  // namespace

std::vector<SynthTensor> plan_synth_tensors(const SynthArch& arch, const SynthOptions& options) {
  if (arch.config.architecture == "gemma3n") return plan_synth_gemma3n(arch, options);
  return Planner(arch, options).plan();
}

}  // namespace st
