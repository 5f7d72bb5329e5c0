// SmallThinker 4B-A0.6B and 21B-A3B: sparse mixture-of-experts decoders whose router reads the
// layer's input before attention. Technical report, section 2; GGUF keys as llama.cpp writes them,
// plus our own smallthinker.rope_layout, .sliding_window_layout and .ffn_down_transposed.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "model/architecture.h"
#include "model/forward.h"
#include "model/names.h"
#include "model/understood.h"
#include "tensor/layout.h"
#include "weights/bundle.h"

namespace st {
namespace {

constexpr std::string_view kPrefix = "smallthinker.";

std::string key(std::string_view suffix) { return fmt::format("{}{}", kPrefix, suffix); }

// A per-layer array of 0 and 1 under our own key.
std::optional<std::vector<bool>> read_layout(const GgufFile& file, std::string_view suffix,
                                             int64_t layers) {
  const GgufArray* array = file.find_integers(key(suffix));
  if (array == nullptr) return std::nullopt;
  if (array->count != static_cast<uint64_t>(layers)) {
    fail(ErrorCode::kInvalidData, "key {}: {} entries for {} layers", key(suffix), array->count,
         layers);
  }
  std::vector<bool> layout;
  for (uint64_t i = 0; i < array->count; ++i) layout.push_back(array->integer(i) != 0);
  return layout;
}

// Files without our layout arrays follow llama.cpp's reading: a sliding_window key means that every
// fourth layer, from 0, is global without RoPE and the others slide with it; no key means RoPE on
// every layer and no window.
void read_layouts(const GgufFile& file, ModelConfig& c) {
  c.window = file.find_u32(key("attention.sliding_window")).value_or(0);
  std::vector<bool> implied(static_cast<size_t>(c.layers), c.window > 0);
  for (size_t l = 0; l < implied.size(); l += 4) implied[l] = false;
  const std::vector<bool> all(static_cast<size_t>(c.layers), true);
  c.sliding = read_layout(file, "sliding_window_layout", c.layers).value_or(implied);
  c.rope = read_layout(file, "rope_layout", c.layers).value_or(c.window > 0 ? implied : all);
}

// llama.cpp's own statement of which layers slide: every one but each n-th from 0, or one by one.
void check_window_pattern(const GgufFile& file, const ModelConfig& c) {
  const std::string name = key("attention.sliding_window_pattern");
  const GgufValue* value = file.find(name);
  if (value == nullptr) return;
  const auto* array = std::get_if<GgufArray>(&value->value);
  const int64_t period = array == nullptr ? file.get_u32(name) : 0;
  bool same = array == nullptr ||
              (array->holds_integers() && array->count == static_cast<uint64_t>(c.layers));
  for (int64_t l = 0; same && l < c.layers; ++l) {
    const bool slides = array == nullptr ? period == 0 || l % period != 0
                                         : array->integer(static_cast<uint64_t>(l)) != 0;
    same = slides == c.sliding[static_cast<size_t>(l)];
  }
  if (!same) {
    fail(ErrorCode::kUnsupported, "key {} {}: differs from the layers that slide", name,
         printable(*value));
  }
}

// As llama.cpp reads them. What is missing is what every GGUF reader takes then; the models this is
// about have another base.
void read_rope(const GgufFile& file, ModelConfig& c, Notices& notices) {
  constexpr float kBase = 10'000;
  const auto base = file.find_f32(key("rope.freq_base"));
  c.rope_theta = base.value_or(kBase);
  if (!base) {
    notices.push_back(fmt::format(
        "no rope.freq_base in the file: using {}, as llama.cpp does; SmallThinker's is 1500000",
        kBase));
  }
  const std::string* type = file.find_string(key("rope.scaling.type"));
  const auto factor = file.find_f32(key("rope.scaling.factor"));
  const auto linear = file.find_f32(key("rope.scale_linear"));  // its older name
  // These two matter to other types only, or tell where the weights are from.
  file.find_u32(key("rope.scaling.original_context_length"));
  file.find_bool(key("rope.scaling.finetuned"));
  const bool none = type != nullptr && *type == "none";
  if (type != nullptr && !none && *type != "linear") {
    fail(ErrorCode::kUnsupported, "key {} '{}' unsupported", key("rope.scaling.type"),
         printable(*type));
  }
  if (factor && linear && *factor != *linear) {
    fail(ErrorCode::kInvalidData, "key {} {}: differs from {} {}", key("rope.scaling.factor"),
         *factor, key("rope.scale_linear"), *linear);
  }
  c.rope_factor = factor ? *factor : linear.value_or(1);
  if (none && c.rope_factor != 1) {  // which llama.cpp obeys in layers that slide, and no others
    fail(ErrorCode::kInvalidData, "key {} {}, but {} 'none'",
         key(factor ? "rope.scaling.factor" : "rope.scale_linear"), c.rope_factor,
         key("rope.scaling.type"));
  }
}

float read_rms_eps(const GgufFile& file, Notices& notices) {
  constexpr float kUsual = 1e-6f;
  const auto eps = file.find_f32(key("attention.layer_norm_rms_epsilon"));
  if (!eps) {
    notices.push_back(
        fmt::format("no attention.layer_norm_rms_epsilon in the file: using {}", kUsual));
  }
  return eps.value_or(kUsual);
}

// For D == F, where shapes do not tell.
bool read_down_transposed(const GgufFile& file, const ModelConfig& c, Notices& notices) {
  const auto flag = file.find_bool(key("ffn_down_transposed"));
  if (!flag && c.hidden == c.ffn) {
    notices.push_back(
        "down matrices are square and the file does not say how they lie: reading them as "
        "llama.cpp does");
  }
  return flag.value_or(false);
}

// The reference's converter never wrote the key for the 4B, whose configuration says sigmoid.
Gating read_gating(const GgufFile& file, const ModelConfig& c, const ConfigOptions& options,
                   Notices& notices) {
  const auto value = file.find_u32(key("expert_gating_func"));
  if (options.gating) return *options.gating;
  if (value && *value != 0) {
    if (*value == 1) return Gating::kSoftmax;
    if (*value == 2) return Gating::kSigmoid;
    fail(ErrorCode::kInvalidData, "key {} {}: want 1 (softmax) or 2 (sigmoid)",
         key("expert_gating_func"), *value);
  }
  const bool is_4b = c.hidden == 1536 && c.experts == 32 && c.experts_used == 4;
  notices.push_back(fmt::format(
      "no expert gating function in the file: using {}{} (--moe-gating overrides)",
      is_4b ? "sigmoid" : "softmax", is_4b ? ", as the 4B model's configuration says" : ""));
  return is_4b ? Gating::kSigmoid : Gating::kSoftmax;
}

// Some files pad the embedding beyond their list of tokens, so its rows are what counts.
int64_t vocabulary_rows(const GgufFile& file) {
  if (const GgufTensor* embedding = file.find_tensor(names::kEmbedding)) {
    return static_cast<int64_t>(std::min<uint64_t>(embedding->dim(1), INT64_MAX));
  }
  const GgufArray* tokens = file.find_strings("tokenizer.ggml.tokens");
  return tokens == nullptr ? 0 : static_cast<int64_t>(tokens->count);
}

ModelConfig read_config(const GgufFile& file, const ConfigOptions& options, Notices& notices) {
  ModelConfig c;
  c.architecture = "smallthinker";
  if (const std::string* name = file.find_string("general.name")) c.name = *name;
  c.layers = file.get_u32(key("block_count"));
  c.hidden = file.get_u32(key("embedding_length"));
  c.heads = file.get_u32(key("attention.head_count"));
  c.kv_heads =
      file.find_u32(key("attention.head_count_kv")).value_or(static_cast<uint32_t>(c.heads));
  c.head_dim = file.find_u32(key("attention.key_length"))
                   .value_or(static_cast<uint32_t>(c.heads > 0 ? c.hidden / c.heads : 0));
  c.experts = file.get_u32(key("expert_count"));
  c.experts_used = file.get_u32(key("expert_used_count"));
  const auto dense = file.find_u32(key("feed_forward_length"));  // of no layer here
  const auto ffn = file.find_u32(key("expert_feed_forward_length"));
  c.ffn = ffn ? *ffn : dense ? *dense : file.get_u32(key("expert_feed_forward_length"));
  c.context = file.get_u32(key("context_length"));
  c.vocab = vocabulary_rows(file);
  c.rms_eps = read_rms_eps(file, notices);
  read_rope(file, c, notices);
  check_config(c, std::string(kPrefix));  // before anything is sized by these numbers
  check_neutral_keys(file, c, std::string(kPrefix));
  read_layouts(file, c);
  check_window_pattern(file, c);
  c.down_transposed = read_down_transposed(file, c, notices);
  c.gating = read_gating(file, c, options, notices);
  check_config(c, std::string(kPrefix));
  return c;
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
  return info != nullptr && is_split(info->type) && can_regroup(c.hidden, c.ffn)
             ? DownLayout::kRegrouped
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

std::vector<ExpertLayer> load_experts(WeightStore& store, const ModelConfig& c) {
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
    const DownLayout down = down_layout(store, c, c.down_transposed, l);
    layers.push_back({.gate = store.stack(layer(l, names::kFfnGate), c.experts, c.ffn, c.hidden),
                      .up = store.stack(layer(l, names::kFfnUp), c.experts, c.ffn, c.hidden),
                      .down = load_down(store, c, down, l),
                      .layout = down});
  }
  return layers;
}

Weights load(WeightStore& store, const ModelConfig& c) {
  using names::layer;
  Weights w;
  for (int64_t l = 0; l < c.layers; ++l) {
    Layer& weights = w.layers.emplace_back();
    weights.attn_norm = store.vector(layer(l, names::kAttnNorm), c.hidden);
    weights.wq = store.matrix(layer(l, names::kAttnQ), c.q_width(), c.hidden);
    weights.wk = store.matrix(layer(l, names::kAttnK), c.kv_width(), c.hidden);
    weights.wv = store.matrix(layer(l, names::kAttnV), c.kv_width(), c.hidden);
    weights.wo = store.matrix(layer(l, names::kAttnOutput), c.hidden, c.q_width());
    weights.ffn_norm = store.vector(layer(l, names::kFfnNorm), c.hidden);
    weights.router = store.matrix(layer(l, names::kRouter), c.experts, c.hidden);
  }
  w.experts = load_experts(store, c);
  w.output_norm = store.vector(names::kOutputNorm, c.hidden);
  const bool tied = !store.has(names::kOutput);
  w.output = store.matrix(tied ? names::kEmbedding : names::kOutput, c.vocab, c.hidden);
  w.embedding = store.rows(names::kEmbedding, c.vocab, c.hidden);  // in memory already, if tied
  load_predictor(store, c, w);
  return w;
}

}  // namespace

const Architecture kSmallThinker = {"smallthinker", read_config, load, early_router_layer};

}  // namespace st
