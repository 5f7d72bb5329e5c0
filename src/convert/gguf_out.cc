#include "convert/gguf_out.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "convert/quant_mix.h"
#include "weights/bundle.h"

namespace st {
namespace {

// A 0 or 1 for each layer.
template <typename Predicate>
GgufValue layout(const ModelConfig& c, Predicate&& holds) {
  std::vector<int32_t> values;
  for (const LayerConfig& layer : c.layer) values.push_back(holds(layer));
  return GgufValue::array(GgufArray::of(std::span<const int32_t>(values)));
}

bool rotates(const LayerConfig& layer) { return layer.rope.theta > 0; }
bool slides(const LayerConfig& layer) { return layer.window > 0; }
bool routes(const LayerConfig& layer) { return layer.ffn.routed; }

// One number if all are the same.
GgufValue ffn_widths(const ModelConfig& c) {
  std::vector<int32_t> widths;
  for (const LayerConfig& layer : c.layer) widths.push_back(static_cast<int32_t>(layer.ffn.width));
  if (std::ranges::count(widths, widths.front()) == std::ssize(widths)) {
    return GgufValue::u32(static_cast<uint32_t>(widths.front()));
  }
  return GgufValue::array(GgufArray::of(std::span<const int32_t>(widths)));
}

// As llama.cpp has it: a magnitude is that of the paper times attn_factor.
void set_rope(const std::string& architecture, const Rope& rope, GgufWriter& out) {
  const auto set = [&](std::string_view suffix, GgufValue value) {
    out.set(fmt::format("{}.rope.{}", architecture, suffix), std::move(value));
  };
  const auto set_unless = [&](std::string_view suffix, float usual, float value) {
    if (value != usual) set(suffix, GgufValue::f32(value));
  };
  set("freq_base", GgufValue::f32(rope.theta));
  const bool yarn = rope.yarn_context > 0;
  if (!yarn && rope.factor == 1) return;
  set("scaling.type", GgufValue::string(yarn ? "yarn" : "linear"));
  set("scaling.factor", GgufValue::f32(rope.factor));
  if (!yarn) return;
  set("scaling.original_context_length", GgufValue::u32(static_cast<uint32_t>(rope.yarn_context)));
  const Rope usual;
  set_unless("scaling.yarn_beta_fast", usual.beta_fast, rope.beta_fast);
  set_unless("scaling.yarn_beta_slow", usual.beta_slow, rope.beta_slow);
  set_unless("scaling.attn_factor", 1, rope.magnitude / yarn_magnitude(rope.factor));
}

}  // namespace

void set_gguf_metadata(const ModelConfig& c, DType type, bool down_transposed, GgufWriter& out) {
  const auto u32 = [&](std::string_view key, int64_t value) {
    out.set(fmt::format("{}.{}", c.architecture, key),
            GgufValue::u32(static_cast<uint32_t>(value)));
  };
  const auto f32 = [&](std::string_view key, float value) {
    out.set(fmt::format("{}.{}", c.architecture, key), GgufValue::f32(value));
  };
  out.set("general.architecture", GgufValue::string(c.architecture));
  out.set("general.type", GgufValue::string("model"));
  out.set("general.name", GgufValue::string(c.name));
  out.set("general.file_type", GgufValue::u32(gguf_file_type(type)));
  out.set("general.quantization_version", GgufValue::u32(2));
  u32("block_count", c.layers);
  u32("context_length", c.context);
  u32("embedding_length", c.hidden);
  out.set(fmt::format("{}.feed_forward_length", c.architecture), ffn_widths(c));
  u32("attention.head_count", c.heads);
  u32("attention.head_count_kv", c.kv_heads);
  u32("attention.key_length", c.head_dim);
  u32("attention.value_length", c.head_dim);
  f32("attention.layer_norm_rms_epsilon", c.rms_eps);
  if (const auto layer = std::ranges::find_if(c.layer, rotates); layer != c.layer.end()) {
    set_rope(c.architecture, layer->rope, out);
  }
  if (const auto layer = std::ranges::find_if(c.layer, routes); layer != c.layer.end()) {
    u32("expert_count", layer->ffn.experts);
    u32("expert_used_count", layer->ffn.used);
    u32("expert_feed_forward_length", layer->ffn.width);
  }
  if (c.architecture != "smallthinker") return;
  u32("expert_gating_func", c.gating == Gating::kSoftmax ? 1 : 2);
  // llama.cpp takes the presence of this key for the 21B's layout, so a model without windows must
  // not have it.
  if (const auto layer = std::ranges::find_if(c.layer, slides); layer != c.layer.end()) {
    u32("attention.sliding_window", layer->window);
  }
  out.set("smallthinker.rope_layout", layout(c, rotates));
  out.set("smallthinker.sliding_window_layout", layout(c, slides));
  out.set("smallthinker.ffn_down_transposed", GgufValue::boolean(down_transposed));
}

void copy_entries(const GgufFile& in, GgufWriter& out) {
  for (const GgufEntry& entry : in.entries()) {
    const bool of_input = entry.key.starts_with("split.") || entry.key == "general.alignment" ||
                          entry.key.starts_with(bundle::kPrefix);
    if (!of_input) out.set(entry.key, entry.value);
  }
}

void copy_bytes(const GgufModel::Tensor& tensor, std::string_view file,
                const std::function<void(std::span<const std::byte>)>& sink) {
  constexpr uint64_t kPiece = uint64_t{4} << 20;
  std::vector<std::byte> piece;
  for (uint64_t at = 0; at < tensor.info->bytes; at += piece.size()) {
    piece.resize(std::min(kPiece, tensor.info->bytes - at));
    with_context(fmt::format("{}: tensor '{}'", printable_path(file), printable(tensor.info->name)),
                 [&] { tensor.source->read_at(tensor.info->offset + at, piece); });
    sink(piece);
  }
}

bool is_expert_tensor(const GgufTensor& tensor) {
  return tensor.name.find("exps") != std::string::npos;
}

}  // namespace st
