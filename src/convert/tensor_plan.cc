#include "convert/tensor_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "arch/names.h"
#include "base/error.h"
#include "convert/hf_family.h"
#include "convert/quant_mix.h"

namespace st {
namespace {

constexpr std::string_view kMergedPredictor = "model.lm_head_profiler.weight";

// The tensors of a checkpoint by name, and which of them have a use.
class Checkpoint {
 public:
  explicit Checkpoint(const std::vector<CheckpointTensor>& tensors) {
    for (const CheckpointTensor& tensor : tensors) by_name_.emplace(tensor.name, &tensor);
  }

  // One that has whatever it is asked for.
  static Checkpoint complete() {
    Checkpoint all({});
    all.is_complete_ = true;
    return all;
  }

  bool has(const std::string& name) const { return is_complete_ || by_name_.contains(name); }

  const CheckpointTensor& take(const std::string& name) {
    const auto it = by_name_.find(name);
    if (it == by_name_.end()) fail(ErrorCode::kInvalidData, "tensor '{}': missing", name);
    taken_.insert(name);
    return *it->second;
  }

  // The one of this shape (outermost first).
  CheckpointTensor take(const std::string& name, const std::vector<uint64_t>& shape) {
    if (is_complete_) return {.name = name, .shape = shape};
    const CheckpointTensor& tensor = take(name);
    if (tensor.shape != shape) {
      fail(ErrorCode::kInvalidData, "tensor '{}': shape [{}], want [{}]", name,
           fmt::join(tensor.shape, ","), fmt::join(shape, ","));
    }
    return tensor;
  }

  // Takes all whose names begin so.
  int64_t skip(std::string_view prefix) {
    int64_t count = 0;
    for (const auto& [name, tensor] : by_name_) {
      if (name.starts_with(prefix)) count += taken_.insert(name).second ? 1 : 0;
    }
    return count;
  }

  void refuse_rest() const {
    for (const auto& [name, tensor] : by_name_) {
      // Old exporters stored the RoPE frequencies, which follow from rope_theta.
      if (taken_.contains(name) || name.ends_with("rotary_emb.inv_freq")) continue;
      fail(ErrorCode::kUnsupported, "tensor '{}': not part of this architecture", printable(name));
    }
  }

 private:
  bool is_complete_ = false;
  std::map<std::string, const CheckpointTensor*> by_name_;
  std::set<std::string> taken_;
};

class Planner {
 public:
  Planner(const HfConfig& config, Checkpoint checkpoint, const PlanOptions& options)
      : hf_(config),
        c_(config.model),
        options_(options),
        in_(std::move(checkpoint)),
        prefix_(find_prefix()) {}

  TensorPlan plan() {
    const HfNames& names = hf_.family->names;
    for (const TensorName& name : names.before) add(name, 0, std::string(name.gguf), prefix_);
    for (int64_t l = 0; l < c_.layers; ++l) {
      const std::string from = fmt::format("{}layers.{}.", prefix_, l);
      for (const auto part : names.layer) {
        for (const TensorName& name : part)
          add(name, l, fmt::format("blk.{}.{}", l, name.gguf), from);
      }
    }
    add({"output_norm", "norm.weight", Length::kHidden}, 0, "output_norm", prefix_);
    if (hf_.tied) {
      in_.skip("lm_head.weight");
    } else {
      add({"output", "lm_head.weight", Length::kVocab, Length::kHidden}, 0, "output", "");
    }
    if (hf_.family->skips_neurons) plan_predictor();
    skip_other_parts();
    in_.refuse_rest();
    return std::move(plan_);
  }

 private:
  // That the names of the model's tensors begin with.
  std::string find_prefix() const {
    const auto prefixes = hf_.family->names.prefixes;
    for (const std::string_view prefix : prefixes) {
      if (in_.has(fmt::format("{}embed_tokens.weight", prefix))) return std::string(prefix);
    }
    return std::string(prefixes.front());
  }

  uint64_t length(Length of, int64_t l) const {
    const auto number = [&]() -> int64_t {
      const int64_t streams = hf_.streams.count, per_layer = hf_.streams.per_layer;
      switch (of) {
        case Length::kNone:
          return 0;
        case Length::kHidden:
          return c_.hidden;
        case Length::kVocab:
          return c_.vocab;
        case Length::kQ:
          return c_.q_width();
        case Length::kKv:
          return c_.kv_width();
        case Length::kHead:
          return c_.head_dim;
        case Length::kFfn:
          return c_.ffn(l).width;
        case Length::kExperts:
          return c_.ffn(l).experts;
        case Length::kStreams:
          return streams;
        case Length::kStreamsSquared:
          return streams * streams;
        case Length::kOtherStreams:
          return streams - 1;
        case Length::kLaurel:
          return hf_.streams.laurel_rank;
        case Length::kPerLayer:
          return per_layer;
        case Length::kPerLayerAll:
          return c_.layers * per_layer;
        case Length::kPerLayerVocab:
          return hf_.streams.per_layer_vocab;
      }
      return 0;
    };
    return static_cast<uint64_t>(number());
  }

  bool holds(const TensorName& name, int64_t l, const std::string& from) const {
    switch (name.where) {
      case Where::kDense:
        return !c_.ffn(l).routed;
      case Where::kRouted:
        return c_.ffn(l).routed;
      case Where::kOwnsKv:
        return c_.layer[static_cast<size_t>(l)].owns_kv() || in_.has(from);
      case Where::kAlways:
        break;
    }
    return true;
  }

  DType type_of(const TensorName& name, uint64_t cols) const {
    if (name.cols == Length::kNone || name.kept != Kept::kAsAsked) return DType::kF32;
    const bool quantised = dtype_info(options_.type).block_values > 1;
    return quantised && keeps_floats(name.gguf) ? DType::kF16 : type_for_row(options_.type, cols);
  }

  // One row of the table, in layer l. `from`: what stands before the name in the checkpoint.
  void add(const TensorName& name, int64_t l, const std::string& to, const std::string& from) {
    if (!holds(name, l, from + std::string(name.hf))) return;
    PlannedTensor out{.name = to + ".weight", .ne = {}, .sources = {}};
    std::vector<uint64_t> shape{length(name.rows, l)};
    if (name.cols != Length::kNone) shape.push_back(length(name.cols, l));
    if (name.stack == Length::kNone) {
      out.sources = {in_.take(from + std::string(name.hf), shape)};
    } else {
      for (uint64_t i = 0; i < length(name.stack, l); ++i) {
        out.sources.push_back(in_.take(from + fmt::format(fmt::runtime(name.hf), i), shape));
      }
    }
    out.transpose = options_.transpose_down && name.gguf == names::kFfnDown;
    out.ne.assign(shape.rbegin(), shape.rend());
    if (out.transpose) std::swap(out.ne[0], out.ne[1]);
    out.type = type_of(name, out.ne[0]);
    if (name.stack != Length::kNone) out.ne.push_back(out.sources.size());
    if (name.rows == Length::kPerLayerVocab) {
      // llama.cpp wants as many rows as the embedding has; tokens without one take the first.
      out.first_row_again = static_cast<uint64_t>(c_.vocab) - shape[0];
      out.ne[1] += out.first_row_again;
    }
    if (name.kept == Kept::kCoefficient) out.largest = hf_.streams.largest_coefficient;
    plan_.tensors.push_back(std::move(out));
  }

  void skip_other_parts() {
    int64_t count = 0;
    for (const std::string_view prefix : hf_.family->names.skipped) count += in_.skip(prefix);
    if (count == 0) return;
    plan_.notices.push_back(fmt::format("{} tensors left out: they are not for text ({}*)", count,
                                        fmt::join(hf_.family->names.skipped, "*, ")));
  }

  // One flat tensor: all of fc1 (R, D), then all of fc2 (V, R).
  void plan_predictor() {
    PlannedTensor out{
        .name = std::string(names::kPredictor), .type = DType::kF32, .ne = {}, .sources = {}};
    uint64_t rank = 0;
    const auto D = static_cast<uint64_t>(c_.hidden);
    const auto V = static_cast<uint64_t>(c_.vocab);
    if (in_.has(std::string(kMergedPredictor))) {
      const CheckpointTensor& merged = in_.take(std::string(kMergedPredictor));
      if (merged.shape.size() == 1) rank = merged.shape[0] / (D + V);
      if (rank == 0 || merged.shape[0] != rank * (D + V)) {
        fail(ErrorCode::kInvalidData, "tensor '{}': shape [{}] does not fit D={} V={}", merged.name,
             fmt::join(merged.shape, ","), D, V);
      }
      out.sources = {merged};
    } else {
      out.sources = predictor_halves();
      if (out.sources.empty()) return;
      rank = out.sources[0].shape.empty() ? 0 : out.sources[0].shape[0];
      const std::vector<uint64_t> down{rank, D};
      const std::vector<uint64_t> up{V, rank};
      if (rank == 0 || out.sources[0].shape != down || out.sources[1].shape != up) {
        fail(ErrorCode::kInvalidData,
             "lm-head predictor: fc1 [{}] and fc2 [{}] do not fit D={} V={}",
             fmt::join(out.sources[0].shape, ","), fmt::join(out.sources[1].shape, ","), D, V);
      }
    }
    const bool quantised = options_.type == DType::kQ4_0 || options_.type == DType::kQ8_0;
    if (quantised && rank % 32 == 0 && D % 32 == 0) out.type = options_.type;
    out.ne = {rank * (D + V)};
    plan_.tensors.push_back(std::move(out));
  }

  std::vector<CheckpointTensor> predictor_halves() {
    if (!options_.predictor.empty()) return find_halves(options_.predictor);
    for (const std::string prefix : {"", "lm_head_profiler.", "model.lm_head_profiler."}) {
      if (!in_.has(prefix + "fc1.weight") || !in_.has(prefix + "fc2.weight")) continue;
      return {in_.take(prefix + "fc1.weight"), in_.take(prefix + "fc2.weight")};
    }
    return {};
  }

  static std::vector<CheckpointTensor> find_halves(const std::vector<CheckpointTensor>& tensors) {
    std::vector<CheckpointTensor> halves;
    for (const std::string_view name : {"fc1.weight", "fc2.weight"}) {
      for (const CheckpointTensor& tensor : tensors) {
        if (tensor.name == name) halves.push_back(tensor);
      }
    }
    if (halves.size() != 2) {
      fail(ErrorCode::kInvalidData, "lm-head predictor: want tensors fc1.weight and fc2.weight");
    }
    return halves;
  }

  const HfConfig& hf_;
  const ModelConfig& c_;
  const PlanOptions& options_;
  Checkpoint in_;
  const std::string prefix_;
  TensorPlan plan_;
};

}  // namespace

bool keeps_floats(std::string_view name) {
  return std::ranges::any_of(
      std::array{names::kRouter, std::string_view("altup"), std::string_view("laurel"),
                 std::string_view("per_layer_model_proj")},
      [&](std::string_view part) { return name.find(part) != std::string_view::npos; });
}

TensorPlan plan_tensors(const HfConfig& config, const std::vector<CheckpointTensor>& checkpoint,
                        const PlanOptions& options) {
  return Planner(config, Checkpoint(checkpoint), options).plan();
}

TensorPlan plan_every_tensor(const HfConfig& config, DType type) {
  return Planner(config, Checkpoint::complete(), {.type = type, .predictor = {}}).plan();
}

}  // namespace st
