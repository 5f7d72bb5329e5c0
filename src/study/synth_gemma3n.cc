#include "study/synth_gemma3n.h"

#include <cmath>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "convert/tensor_plan.h"
#include "study/synth_stream.h"
#include "tensor/blocks.h"

namespace st {
namespace {

constexpr double kScoreDeviation = 2;  // of q.k: attends to a few keys, not to all
constexpr double kLogitDeviation = 3;
constexpr double kMix = 0.05;    // deviation of the coefficients that mix the streams
constexpr double kRouted = 0.5;  // and of what they are multiplied with, before its tanh

// "attn_q" of "blk.3.attn_q.weight", "token_embd" of "token_embd.weight".
std::string_view base_name(std::string_view name) {
  name.remove_suffix(std::string_view(".weight").size());
  if (name.starts_with("blk.")) name.remove_prefix(name.find('.', 4) + 1);
  return name;
}

class Planner {
 public:
  Planner(const SynthArch& arch, const SynthOptions& options)
      : arch_(arch),
        c_(arch.config),
        options_(options),
        D_(static_cast<double>(c_.hidden)),
        blocks_(c_.hidden / kBlock),
        inputs_(blocks_ / 2) {}

  std::vector<SynthTensor> plan() {
    std::vector<SynthTensor> tensors;
    for (PlannedTensor& planned : plan_every_tensor(arch_.hf, options_.type).tensors) {
      SynthTensor& tensor = tensors.emplace_back();
      tensor.name = std::move(planned.name);
      tensor.type = planned.type;
      tensor.ne = std::move(planned.ne);
      const std::string_view name = base_name(tensor.name);
      if (tensor.ne.size() == 1) {
        tensor.floats = [values = vector(name, tensor.ne[0])] { return values; };
      } else {
        fill_matrix(name, tensor);
      }
    }
    return tensors;
  }

 private:
  // Root of the mean square of an embedding row, times sqrt(D) as the model takes it: half of its
  // channels have deviation 1.
  double rms() const {
    return std::sqrt(static_cast<double>(inputs_) / static_cast<double>(blocks_));
  }

  // That of each of `parts` which share the variance that all layers add to a channel.
  double added(double variance, double parts) const {
    return std::sqrt(variance / static_cast<double>(c_.layers) / parts);
  }

  // The value of a norm's weights.
  double norm_weight(std::string_view name) const {
    if (name == "attn_norm") return (std::sqrt(2.0) - 1) * rms();
    if (name == "attn_q_norm" || name == "attn_k_norm") {  // scores are not divided by sqrt(d)
      return std::sqrt(kScoreDeviation / std::sqrt(static_cast<double>(c_.head_dim)));
    }
    // Half of the sum of attention's and LAuReL's squares goes on.
    if (name == "post_attention_norm" || name == "laurel_post_norm") {
      return added(SynthStream::kAttentionVariance, 1);
    }
    if (name == "post_ffw_norm" || name == "post_norm") {
      return added(SynthStream::kFfnVariance, 1);
    }
    return 1;
  }

  // Inputs of the embedding do not reach the logits: a tied model would repeat them for ever.
  std::vector<float> output_norm() const {
    const double outputs = static_cast<double>((blocks_ - inputs_) * kBlock);
    const double weight =
        kLogitDeviation * std::sqrt(D_) / (SynthStream::kOutputEmbedding * std::sqrt(outputs));
    std::vector<float> values(static_cast<size_t>(c_.hidden), static_cast<float>(weight));
    std::fill_n(values.begin(), inputs_ * kBlock, 0.0f);
    return values;
  }

  std::vector<float> vector(std::string_view name, uint64_t n) const {
    if (name == "output_norm") return output_norm();
    return std::vector<float>(n, static_cast<float>(norm_weight(name)));
  }

  // Of the random weights of a matrix with rows of `cols`.
  double deviation(std::string_view name, double cols) const {
    if (name == "altup_correct_coef" || name == "altup_predict_coef") return kMix;
    if (name == "altup_router") return kRouted * std::sqrt(D_);  // the model divides by D
    return 1 / std::sqrt(cols);
  }

  void fill_matrix(std::string_view name, SynthTensor& tensor) {
    const auto cols = static_cast<int64_t>(tensor.ne[0]);
    auto rows = static_cast<int64_t>(tensor.ne[1]);
    if (tensor.ne.size() > 2) rows *= static_cast<int64_t>(tensor.ne[2]);
    const uint64_t key = mix_bits(options_.seed, keys_++);
    const double d = deviation(name, static_cast<double>(cols));
    if (cols % kBlock != 0) {
      tensor.floats = [=, n = static_cast<size_t>(rows * cols)] {
        std::vector<float> values(n);
        for (size_t i = 0; i < n; ++i) {
          values[i] = static_cast<float>(d * normal_deviate(mix_bits(key, i)));
        }
        return values;
      };
    } else if (name == "token_embd") {
      tensor.parts.push_back(
          {rows, cols, key, [=, in = inputs_, all = blocks_](int64_t, Row& row) {
             row.push_back(Stretch::random(in, d, 0));
             row.push_back(Stretch::random(all - in, d * SynthStream::kOutputEmbedding, in));
           }});
    } else {
      tensor.parts.push_back({rows, cols, key, [=](int64_t, Row& row) {
                                row.push_back(Stretch::random(cols / kBlock, d, 0));
                              }});
    }
  }

  const SynthArch& arch_;
  const ModelConfig& c_;
  const SynthOptions& options_;
  const double D_;
  const int64_t blocks_, inputs_;  // of a row of the stream; the first ones tell tokens apart
  uint64_t keys_ = 0;
};

}  // namespace

std::vector<SynthTensor> plan_synth_gemma3n(const SynthArch& arch, const SynthOptions& options) {
  return Planner(arch, options).plan();
}

}  // namespace st
