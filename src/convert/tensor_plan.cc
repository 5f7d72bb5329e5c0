#include "convert/tensor_plan.h"

#include <fmt/format.h>

#include <unordered_map>
#include <unordered_set>

#include "arch/names.h"
#include "base/error.h"

namespace st {
namespace {

constexpr std::string_view kMergedPredictor = "model.lm_head_profiler.weight";

class Planner {
 public:
  Planner(const ModelConfig& config, const std::vector<CheckpointTensor>& checkpoint,
          const PlanOptions& options)
      : c_(config), options_(options) {
    for (const CheckpointTensor& tensor : checkpoint) by_name_.emplace(tensor.name, &tensor);
  }

  bool has(const std::string& name) const { return by_name_.contains(name); }

  // The checkpoint tensor of this name and shape (outermost first).
  const CheckpointTensor& take(const std::string& name, const std::vector<int64_t>& shape) {
    const auto it = by_name_.find(name);
    if (it == by_name_.end()) fail(ErrorCode::kInvalidData, "tensor '{}': missing", name);
    taken_.insert(name);
    const CheckpointTensor& tensor = *it->second;
    if (!std::equal(shape.begin(), shape.end(), tensor.shape.begin(), tensor.shape.end(),
                    [](int64_t a, uint64_t b) { return static_cast<uint64_t>(a) == b; })) {
      fail(ErrorCode::kInvalidData, "tensor '{}': shape [{}], want [{}]", name,
           fmt::join(tensor.shape, ","), fmt::join(shape, ","));
    }
    return tensor;
  }

  void vector(std::string_view to, const std::string& from, int64_t n) {
    plan_.push_back({std::string(to), DType::kF32, {static_cast<uint64_t>(n)}, {take(from, {n})}});
  }

  void matrix(std::string_view to, const std::string& from, int64_t rows, int64_t cols,
              DType type) {
    plan_.push_back({std::string(to),
                     type_for_row(type, static_cast<uint64_t>(cols)),
                     {static_cast<uint64_t>(cols), static_cast<uint64_t>(rows)},
                     {take(from, {rows, cols})}});
  }

  // Experts' matrices (rows, cols) stacked; transposed one by one if asked.
  void stack(int64_t l, std::string_view to, std::string_view from, int64_t rows, int64_t cols,
             bool transpose) {
    PlannedTensor out;
    out.name = names::layer(l, to);
    out.transpose = transpose;
    if (transpose) std::swap(rows, cols);
    out.type = type_for_row(options_.type, static_cast<uint64_t>(cols));
    out.ne = {static_cast<uint64_t>(cols), static_cast<uint64_t>(rows),
              static_cast<uint64_t>(c_.ffn(l).experts)};
    if (transpose) std::swap(rows, cols);
    for (int64_t e = 0; e < c_.ffn(l).experts; ++e) {
      out.sources.push_back(
          take(hf_layer(l, fmt::format("block_sparse_moe.experts.{}.{}", e, from)), {rows, cols}));
    }
    plan_.push_back(std::move(out));
  }

  static std::string hf_layer(int64_t l, std::string_view name) {
    return fmt::format("model.layers.{}.{}.weight", l, name);
  }

  void plan_layer(int64_t l) {
    using names::layer;
    const DType type = options_.type;
    vector(layer(l, names::kAttnNorm), hf_layer(l, "input_layernorm"), c_.hidden);
    matrix(layer(l, names::kAttnQ), hf_layer(l, "self_attn.q_proj"), c_.q_width(), c_.hidden, type);
    matrix(layer(l, names::kAttnK), hf_layer(l, "self_attn.k_proj"), c_.kv_width(), c_.hidden,
           type);
    matrix(layer(l, names::kAttnV), hf_layer(l, "self_attn.v_proj"), c_.kv_width(), c_.hidden,
           type);
    matrix(layer(l, names::kAttnOutput), hf_layer(l, "self_attn.o_proj"), c_.hidden, c_.q_width(),
           type);
    vector(layer(l, names::kFfnNorm), hf_layer(l, "post_attention_layernorm"), c_.hidden);
    // Quantising the router scrambles the choice of experts, so it stays F32.
    matrix(layer(l, names::kRouter), hf_layer(l, "block_sparse_moe.primary_router"),
           c_.ffn(l).experts, c_.hidden, DType::kF32);
    stack(l, names::kFfnGate, "gate", c_.ffn(l).width, c_.hidden, false);
    stack(l, names::kFfnUp, "up", c_.ffn(l).width, c_.hidden, false);
    stack(l, names::kFfnDown, "down", c_.hidden, c_.ffn(l).width, options_.transpose_down);
  }

  // One flat tensor: all of fc1 (R, D), then all of fc2 (V, R).
  void plan_predictor() {
    PlannedTensor out{
        .name = std::string(names::kPredictor), .type = DType::kF32, .ne = {}, .sources = {}};
    uint64_t rank = 0;
    const auto D = static_cast<uint64_t>(c_.hidden);
    const auto V = static_cast<uint64_t>(c_.vocab);
    if (has(std::string(kMergedPredictor))) {
      const CheckpointTensor& merged = *by_name_.at(std::string(kMergedPredictor));
      taken_.insert(merged.name);
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
    plan_.push_back(std::move(out));
  }

  std::vector<CheckpointTensor> predictor_halves() {
    if (!options_.predictor.empty()) return find_halves(options_.predictor);
    for (const std::string prefix : {"", "lm_head_profiler.", "model.lm_head_profiler."}) {
      if (!has(prefix + "fc1.weight") || !has(prefix + "fc2.weight")) continue;
      taken_.insert(prefix + "fc1.weight");
      taken_.insert(prefix + "fc2.weight");
      return {*by_name_.at(prefix + "fc1.weight"), *by_name_.at(prefix + "fc2.weight")};
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

  void skip(const std::string& name) { taken_.insert(name); }

  std::vector<PlannedTensor> finish() {
    for (const auto& [name, tensor] : by_name_) {
      // Old exporters stored the RoPE frequencies, which follow from rope_theta.
      if (taken_.contains(name) || name.ends_with("rotary_emb.inv_freq")) continue;
      fail(ErrorCode::kUnsupported, "tensor '{}': not part of this architecture", printable(name));
    }
    return std::move(plan_);
  }

 private:
  const ModelConfig& c_;
  const PlanOptions& options_;
  std::unordered_map<std::string, const CheckpointTensor*> by_name_;
  std::unordered_set<std::string> taken_;
  std::vector<PlannedTensor> plan_;
};

}  // namespace

uint32_t gguf_file_type(DType type) {
  switch (type) {
    case DType::kF32:
      return 0;
    case DType::kQ4_0:
      return 2;
    case DType::kQ8_0:
      return 7;
    case DType::kBF16:
      return 32;
    default:
      return 1;  // F16
  }
}

DType type_for_row(DType want, uint64_t cols) {
  return cols % dtype_info(want).block_values == 0 ? want : DType::kF16;
}

std::vector<PlannedTensor> plan_tensors(const ModelConfig& config, bool tied,
                                        const std::vector<CheckpointTensor>& checkpoint,
                                        const PlanOptions& options) {
  Planner planner(config, checkpoint, options);
  planner.matrix(names::kEmbedding, "model.embed_tokens.weight", config.vocab, config.hidden,
                 options.type);
  for (int64_t l = 0; l < config.layers; ++l) planner.plan_layer(l);
  planner.vector(names::kOutputNorm, "model.norm.weight", config.hidden);
  if (tied) {
    planner.skip("lm_head.weight");
  } else {
    planner.matrix(names::kOutput, "lm_head.weight", config.vocab, config.hidden, options.type);
  }
  planner.plan_predictor();
  return planner.finish();
}

}  // namespace st
