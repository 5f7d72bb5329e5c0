#include "arch/common.h"

#include <fmt/format.h>

#include <algorithm>

#include "arch/names.h"
#include "arch/understood.h"
#include "base/error.h"
#include "tensor/layout.h"
#include "weights/bundle.h"

namespace st {
namespace {

// As llama.cpp reads them. What is missing is what every GGUF reader takes then; the models this is
// about have another base.
Rope read_rope(const ConfigKeys& keys, Notices& notices) {
  constexpr float kBase = 10'000;
  const auto base = keys.find_f32("rope.freq_base");
  if (!base) {
    notices.push_back(fmt::format(
        "no rope.freq_base in the file: using {}, as llama.cpp does; SmallThinker's is 1500000",
        kBase));
  }
  const std::string* type = keys.file().find_string(keys.key("rope.scaling.type"));
  const auto factor = keys.find_f32("rope.scaling.factor");
  const auto linear = keys.find_f32("rope.scale_linear");  // its older name
  // These two matter to other types only, or tell where the weights are from.
  keys.find_u32("rope.scaling.original_context_length");
  keys.find_bool("rope.scaling.finetuned");
  const bool none = type != nullptr && *type == "none";
  if (type != nullptr && !none && *type != "linear") {
    fail(ErrorCode::kUnsupported, "key {} '{}' unsupported", keys.key("rope.scaling.type"),
         printable(*type));
  }
  if (factor && linear && *factor != *linear) {
    fail(ErrorCode::kInvalidData, "key {} {}: differs from {} {}", keys.key("rope.scaling.factor"),
         *factor, keys.key("rope.scale_linear"), *linear);
  }
  const Rope rope{.theta = base.value_or(kBase), .factor = factor ? *factor : linear.value_or(1)};
  if (none && rope.factor != 1) {  // which llama.cpp obeys in layers that slide, and no others
    fail(ErrorCode::kInvalidData, "key {} {}, but {} 'none'",
         keys.key(factor ? "rope.scaling.factor" : "rope.scale_linear"), rope.factor,
         keys.key("rope.scaling.type"));
  }
  if (rope.theta == 0) {  // which is how a layer is told not to rotate, and nothing a file may say
    fail(ErrorCode::kInvalidData, "key {} 0: want 1..1e12", keys.key("rope.freq_base"));
  }
  return rope;
}

float read_rms_eps(const ConfigKeys& keys, Notices& notices) {
  constexpr float kUsual = 1e-6f;
  const auto eps = keys.find_f32("attention.layer_norm_rms_epsilon");
  if (!eps) {
    notices.push_back(
        fmt::format("no attention.layer_norm_rms_epsilon in the file: using {}", kUsual));
  }
  return eps.value_or(kUsual);
}

// Some files pad the embedding beyond their list of tokens, so its rows are what counts.
int64_t vocabulary_rows(const GgufFile& file) {
  if (const GgufTensor* embedding = file.find_tensor(names::kEmbedding)) {
    return static_cast<int64_t>(std::min<uint64_t>(embedding->dim(1), INT64_MAX));
  }
  const GgufArray* tokens = file.find_strings("tokenizer.ggml.tokens");
  return tokens == nullptr ? 0 : static_cast<int64_t>(tokens->count);
}

// The lm_head predictor is one flat tensor, all of the first matrix (R, D) and then all of the
// second (V, R), so R = n / (D + V).
void load_predictor(WeightStore& store, const ModelConfig& c, Weights& w) {
  const GgufTensor* info = store.info(names::kPredictor);
  if (info == nullptr) return;
  const auto n = static_cast<int64_t>(info->ne[0]);
  const int64_t width = c.hidden + c.vocab;
  const int64_t rank = n / width;
  const int64_t block = dtype_info(info->type).block_values;
  if (rank < 1 || rank * width != n || rank % block != 0 || c.hidden % block != 0) {
    fail(ErrorCode::kInvalidData, "lm-head predictor: {} weights do not fit D={} V={}", n, c.hidden,
         c.vocab);
  }
  if (rank > c.hidden) {  // as wide as what it predicts, it would cost as much
    fail(ErrorCode::kInvalidData, "tensor '{}': rank {}, want 1..{}", names::kPredictor, rank,
         c.hidden);
  }
  w.predictor_down = store.part(names::kPredictor, n, 0, rank, c.hidden);
  w.predictor_up = store.part(names::kPredictor, n, rank * c.hidden, c.vocab, rank);
}

// Down matrices come as (D, F), llama.cpp's way, or transposed as (F, D); the shape tells, and
// where D == F our own key does. What cannot be read neuron by neuron as it is, is regrouped.
DownLayout down_layout(const WeightStore& store, const ModelConfig& c, bool flag, int64_t l) {
  const GgufTensor* info = store.info(names::layer(l, names::kFfnDown));
  const bool transposed =
      info == nullptr || c.hidden == c.ffn ? flag : info->dim(0) == static_cast<uint64_t>(c.hidden);
  if (transposed) return DownLayout::kNeurons;
  return info != nullptr && can_regroup(info->type, c.hidden, c.ffn) ? DownLayout::kRegrouped
                                                                     : DownLayout::kOutputs;
}

MatrixStack load_down(WeightStore& store, const ModelConfig& c, DownLayout layout, int64_t l) {
  const std::string name = names::layer(l, names::kFfnDown);
  switch (layout) {
    case DownLayout::kOutputs:
      return store.stack(name, c.experts, c.hidden, c.ffn);
    case DownLayout::kNeurons:
      return store.stack(name, c.experts, c.ffn, c.hidden);
    case DownLayout::kRegrouped:
      return store.neurons(name, c.experts, c.hidden, c.ffn);
  }
  return {};
}

// What a file says of its experts must agree with a headerless bundle, which says nothing.
void check_replaced(const WeightStore& store, const ModelConfig& c) {
  for (int64_t l = 0; l < c.layers; ++l) {
    for (const auto part : {names::kFfnGate, names::kFfnUp, names::kFfnDown}) {
      const GgufTensor* info = store.info(names::layer(l, part));
      if (info == nullptr || info->type == DType::kQ4_0) continue;
      fail(ErrorCode::kUnsupported, "tensor '{}': type {}, but a headerless bundle is Q4_0",
           info->name, dtype_name(info->type));
    }
  }
}

std::vector<ExpertLayer> load_experts(WeightStore& store, const ModelConfig& c,
                                      bool down_transposed) {
  const ExpertDims dims{c.layers, c.experts, c.hidden, c.ffn};
  if (store.expert_file() != nullptr) {
    check_replaced(store, c);
    return load_headerless_bundle(store, dims);
  }
  if (is_bundle(store.model().metadata())) return load_bundle(store, dims);
  using names::layer;
  if (!store.has(layer(0, names::kFfnGate)) && !store.has(layer(0, names::kFfnDown))) {
    fail(ErrorCode::kInvalidData,
         "has no experts, it was stripped of them: say where they are with --expert-bundle");
  }
  std::vector<ExpertLayer> layers;
  for (int64_t l = 0; l < c.layers; ++l) {
    const DownLayout down = down_layout(store, c, down_transposed, l);
    layers.push_back({.gate = store.stack(layer(l, names::kFfnGate), c.experts, c.ffn, c.hidden),
                      .up = store.stack(layer(l, names::kFfnUp), c.experts, c.ffn, c.hidden),
                      .down = load_down(store, c, down, l),
                      .layout = down});
  }
  return layers;
}

}  // namespace

ConfigKeys::ConfigKeys(const GgufFile& file, std::string_view architecture)
    : file_(file), prefix_(fmt::format("{}.", architecture)) {}

std::optional<std::vector<bool>> ConfigKeys::find_layout(std::string_view suffix,
                                                         int64_t layers) const {
  const GgufArray* array = file_.find_integers(key(suffix));
  if (array == nullptr) return std::nullopt;
  if (array->count != static_cast<uint64_t>(layers)) {
    fail(ErrorCode::kInvalidData, "key {}: {} entries for {} layers", key(suffix), array->count,
         layers);
  }
  std::vector<bool> layout;
  for (uint64_t i = 0; i < array->count; ++i) layout.push_back(array->integer(i) != 0);
  return layout;
}

ModelConfig read_base_config(const ConfigKeys& keys, Notices& notices) {
  const GgufFile& file = keys.file();
  ModelConfig c;
  c.architecture = keys.prefix().substr(0, keys.prefix().size() - 1);
  if (const std::string* name = file.find_string("general.name")) c.name = *name;
  c.layers = keys.get_u32("block_count");
  c.hidden = keys.get_u32("embedding_length");
  c.heads = keys.get_u32("attention.head_count");
  c.kv_heads = keys.find_u32("attention.head_count_kv").value_or(static_cast<uint32_t>(c.heads));
  c.head_dim = keys.find_u32("attention.key_length")
                   .value_or(static_cast<uint32_t>(c.heads > 0 ? c.hidden / c.heads : 0));
  c.experts = keys.get_u32("expert_count");
  c.experts_used = keys.get_u32("expert_used_count");
  const auto dense = keys.find_u32("feed_forward_length");  // of no layer here
  const auto ffn = keys.find_u32("expert_feed_forward_length");
  c.ffn = ffn ? *ffn : dense ? *dense : keys.get_u32("expert_feed_forward_length");
  c.context = keys.get_u32("context_length");
  c.vocab = vocabulary_rows(file);
  c.rms_eps = read_rms_eps(keys, notices);
  const Rope rope = read_rope(keys, notices);
  check_config(c, keys.prefix());  // before anything is sized by these numbers
  c.layer.assign(static_cast<size_t>(c.layers), {.rope = rope});
  check_config(c, keys.prefix());
  check_neutral_keys(file, c, keys.prefix());
  return c;
}

Weights load_weights(WeightStore& store, const ModelConfig& c, bool down_transposed) {
  Weights w;
  w.experts = load_experts(store, c, down_transposed);
  w.output_norm = store.norm(names::kOutputNorm, c.hidden);
  const bool tied = !store.has(names::kOutput);
  w.output = store.matrix(tied ? names::kEmbedding : names::kOutput, c.vocab, c.hidden);
  w.embedding = store.rows(names::kEmbedding, c.vocab, c.hidden);  // in memory already, if tied
  load_predictor(store, c, w);
  return w;
}

AttentionWeights load_attention(WeightStore& store, const ModelConfig& c, int64_t l) {
  using names::layer;
  return {.wq = store.matrix(layer(l, names::kAttnQ), c.q_width(), c.hidden),
          .wk = store.matrix(layer(l, names::kAttnK), c.kv_width(), c.hidden),
          .wv = store.matrix(layer(l, names::kAttnV), c.kv_width(), c.hidden),
          .wo = store.matrix(layer(l, names::kAttnOutput), c.hidden, c.q_width())};
}

}  // namespace st
