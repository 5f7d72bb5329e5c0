#include "arch/common.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "arch/names.h"
#include "base/error.h"
#include "tensor/regroup.h"
#include "weights/bundle.h"

namespace st {
namespace {

// The magnitude is that of the paper, and what the file has beside it.
void read_yarn(const ConfigKeys& keys, int64_t context, Rope& rope) {
  rope.yarn_context = context;
  rope.beta_fast = keys.find_f32("rope.scaling.yarn_beta_fast").value_or(rope.beta_fast);
  rope.beta_slow = keys.find_f32("rope.scaling.yarn_beta_slow").value_or(rope.beta_slow);
  constexpr std::string_view kFactor = "rope.scaling.attn_factor";
  const float factor = keys.find_f32(kFactor).value_or(1);
  if (!(factor > 0 && std::isfinite(factor))) {
    fail(ErrorCode::kInvalidData, "key {} {}: want a finite number above 0", keys.key(kFactor),
         factor);
  }
  rope.magnitude = factor * yarn_magnitude(rope.factor);
}

// As llama.cpp reads them. What is missing is what every GGUF reader takes then.
Rope read_rope(const ConfigKeys& keys, int64_t context, Notices& notices) {
  constexpr float kBase = 10'000;
  const auto base = find_rope_base(keys, "rope.freq_base");
  if (!base) {
    notices.push_back(fmt::format(
        "no rope.freq_base in the file: using {}, as llama.cpp does; models of this family have "
        "another",
        kBase));
  }
  const std::string* type = keys.file().find_string(keys.key("rope.scaling.type"));
  const auto factor = keys.find_f32("rope.scaling.factor");
  const auto linear = keys.find_f32("rope.scale_linear");  // its older name
  const auto original = keys.find_u32("rope.scaling.original_context_length");
  keys.find_bool("rope.scaling.finetuned");  // tells where the weights are from
  const bool none = type != nullptr && *type == "none";
  const bool yarn = type != nullptr && *type == "yarn";
  if (type != nullptr && !none && !yarn && *type != "linear") {
    fail(ErrorCode::kUnsupported, "key {} '{}' unsupported", keys.key("rope.scaling.type"),
         printable(*type));
  }
  if (factor && linear && *factor != *linear) {
    fail(ErrorCode::kInvalidData, "key {} {}: differs from {} {}", keys.key("rope.scaling.factor"),
         *factor, keys.key("rope.scale_linear"), *linear);
  }
  Rope rope{.theta = base.value_or(kBase), .factor = factor ? *factor : linear.value_or(1)};
  if (none && rope.factor != 1) {  // which llama.cpp obeys in layers that slide, and no others
    fail(ErrorCode::kInvalidData, "key {} {}, but {} 'none'",
         keys.key(factor ? "rope.scaling.factor" : "rope.scale_linear"), rope.factor,
         keys.key("rope.scaling.type"));
  }
  if (yarn && !factor) {
    fail(ErrorCode::kInvalidData, "key {}: missing, but {} is 'yarn'",
         keys.key("rope.scaling.factor"), keys.key("rope.scaling.type"));
  }
  if (yarn) read_yarn(keys, original.value_or(static_cast<uint32_t>(context)), rope);
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
int64_t vocabulary_rows(const GgufModel& model) {
  if (const GgufTensor* embedding = model.find(names::kEmbedding).info) {
    return static_cast<int64_t>(std::min<uint64_t>(embedding->dim(1), INT64_MAX));
  }
  const GgufArray* tokens = model.metadata().find_strings("tokenizer.ggml.tokens");
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

// The tensors of a layer's network: gate, up and down.
std::array<std::string, kExpertParts> ffn_tensors(const Ffn& ffn, int64_t l) {
  const auto& [gate, up, down] = ffn.routed ? names::kExpertParts : names::kDenseParts;
  return {names::layer(l, gate), names::layer(l, up), names::layer(l, down)};
}

// Down matrices come as (D, F), llama.cpp's way, or transposed as (F, D); the shape tells, and
// where D == F our own key does. Where neurons are skipped, what cannot be read neuron by neuron as
// it is, is regrouped.
DownLayout down_layout(const GgufTensor* info, const Ffn& ffn, int64_t D, bool flag) {
  const bool transposed =
      info == nullptr || D == ffn.width ? flag : info->dim(0) == static_cast<uint64_t>(D);
  if (transposed) return DownLayout::kNeurons;
  const bool regroup = info != nullptr && ffn.skips() && can_regroup(info->type, D, ffn.width);
  return regroup ? DownLayout::kRegrouped : DownLayout::kOutputs;
}

MatrixStack load_down(WeightStore& store, const std::string& name, const Ffn& ffn, int64_t D,
                      DownLayout layout) {
  switch (layout) {
    case DownLayout::kOutputs:
      return store.stack(name, ffn.experts, D, ffn.width);
    case DownLayout::kNeurons:
      return store.stack(name, ffn.experts, ffn.width, D);
    case DownLayout::kRegrouped:
      return store.neurons(name, ffn.experts, D, ffn.width);
  }
  return {};
}

// What a model and its file say of experts must agree with a headerless bundle, which says nothing.
void check_replaced(const WeightStore& store, const ModelConfig& c) {
  if (!c.all_route_alike()) {
    fail(ErrorCode::kUnsupported,
         "--expert-bundle is for models whose layers all have the same experts");
  }
  for (int64_t l = 0; l < c.layers; ++l) {
    for (const std::string& name : ffn_tensors(c.ffn(l), l)) {
      const GgufTensor* info = store.info(name);
      if (info == nullptr || info->type == DType::kQ4_0) continue;
      fail(ErrorCode::kUnsupported, "tensor '{}': type {}, but a headerless bundle is Q4_0",
           info->name, dtype_name(info->type));
    }
  }
}

void refuse_stripped(const WeightStore& store, const ModelConfig& c) {
  const auto layer = std::ranges::find_if(c.layer, [](const auto& l) { return l.ffn.routed; });
  if (layer == c.layer.end()) return;
  const auto [gate, up, down] = ffn_tensors(layer->ffn, layer - c.layer.begin());
  if (store.has(gate) || store.has(down)) return;
  fail(ErrorCode::kInvalidData,
       "has no experts, it was stripped of them: say where they are with --expert-bundle");
}

std::vector<ExpertLayer> load_experts(WeightStore& store, const ModelConfig& c,
                                      bool down_transposed) {
  std::vector<ExpertDims> dims;
  for (const LayerConfig& l : c.layer) dims.push_back({l.ffn.experts, c.hidden, l.ffn.width});
  if (store.expert_file() != nullptr) {
    check_replaced(store, c);
    return load_headerless_bundle(store, dims);
  }
  if (is_bundle(store.model().metadata())) return load_bundle(store, dims);
  refuse_stripped(store, c);
  std::vector<ExpertLayer> layers;
  for (int64_t l = 0; l < c.layers; ++l) {
    const Ffn& ffn = c.ffn(l);
    const auto [gate, up, down] = ffn_tensors(ffn, l);
    const DownLayout layout = down_layout(store.info(down), ffn, c.hidden, down_transposed);
    layers.push_back({.gate = store.stack(gate, ffn.experts, ffn.width, c.hidden),
                      .up = store.stack(up, ffn.experts, ffn.width, c.hidden),
                      .down = load_down(store, down, ffn, c.hidden, layout),
                      .layout = layout});
  }
  return layers;
}

}  // namespace

ConfigKeys::ConfigKeys(const GgufModel& model, std::string_view architecture)
    : model_(model), prefix_(fmt::format("{}.", architecture)) {}

std::optional<std::vector<bool>> ConfigKeys::find_layout(std::string_view suffix,
                                                         int64_t layers) const {
  const GgufArray* array = file().find_integers(key(suffix));
  if (array == nullptr) return std::nullopt;
  if (array->count != static_cast<uint64_t>(layers)) {
    fail(ErrorCode::kInvalidData, "key {}: {} entries for {} layers", key(suffix), array->count,
         layers);
  }
  std::vector<bool> layout;
  for (uint64_t i = 0; i < array->count; ++i) layout.push_back(array->integer(i) != 0);
  return layout;
}

std::optional<float> find_rope_base(const ConfigKeys& keys, std::string_view suffix) {
  const auto base = keys.find_f32(suffix);
  if (base && !Rope::possible_theta(*base)) {
    fail(ErrorCode::kInvalidData, "key {} {}: want 1..1e12", keys.key(suffix), *base);
  }
  return base;
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
  c.context = keys.get_u32("context_length");
  c.vocab = vocabulary_rows(keys.model());
  c.rms_eps = read_rms_eps(keys, notices);
  const Rope rope = read_rope(keys, c.context, notices);
  check_config(c, keys.prefix());  // before anything is sized by these numbers
  c.layer.assign(static_cast<size_t>(c.layers), {.rope = rope});
  return c;
}

Ffn read_experts(const ConfigKeys& keys, Activation activation) {
  const auto dense = keys.find_u32("feed_forward_length");
  const auto width = keys.find_u32("expert_feed_forward_length");
  return {.routed = true,
          .experts = keys.get_u32("expert_count"),
          .used = keys.get_u32("expert_used_count"),
          .width = width   ? *width
                   : dense ? *dense
                           : keys.get_u32("expert_feed_forward_length"),
          .activation = activation};
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
  if (!c.layer[static_cast<size_t>(l)].owns_kv()) {
    for (const auto name : {names::kAttnK, names::kAttnV}) {
      store.has(layer(l, name));  // files may have them all the same
    }
    return {.wq = store.matrix(layer(l, names::kAttnQ), c.q_width(), c.hidden),
            .wo = store.matrix(layer(l, names::kAttnOutput), c.hidden, c.q_width())};
  }
  return {.wq = store.matrix(layer(l, names::kAttnQ), c.q_width(), c.hidden),
          .wk = store.matrix(layer(l, names::kAttnK), c.kv_width(), c.hidden),
          .wv = store.matrix(layer(l, names::kAttnV), c.kv_width(), c.hidden),
          .wo = store.matrix(layer(l, names::kAttnOutput), c.hidden, c.q_width())};
}

}  // namespace st
