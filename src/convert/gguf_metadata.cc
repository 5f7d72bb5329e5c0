#include "convert/gguf_metadata.h"

#include <fmt/format.h>

#include <algorithm>

#include "convert/tensor_plan.h"

namespace st {
namespace {

GgufArray as_array(const std::vector<bool>& layout) {
  const std::vector<int32_t> values(layout.begin(), layout.end());
  return GgufArray::of(std::span<const int32_t>(values));
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
  u32("feed_forward_length", c.ffn);
  u32("attention.head_count", c.heads);
  u32("attention.head_count_kv", c.kv_heads);
  u32("attention.key_length", c.head_dim);
  u32("attention.value_length", c.head_dim);
  f32("attention.layer_norm_rms_epsilon", c.rms_eps);
  f32("rope.freq_base", c.rope_theta);
  if (c.rope_factor != 1) {
    out.set(fmt::format("{}.rope.scaling.type", c.architecture), GgufValue::string("linear"));
    f32("rope.scaling.factor", c.rope_factor);
  }
  u32("expert_count", c.experts);
  u32("expert_used_count", c.experts_used);
  u32("expert_feed_forward_length", c.ffn);
  if (c.architecture != "smallthinker") return;
  u32("expert_gating_func", c.gating == Gating::kSoftmax ? 1 : 2);
  // llama.cpp takes the presence of this key for the 21B's layout, so a model without windows must
  // not have it.
  if (std::ranges::find(c.sliding, true) != c.sliding.end())
    u32("attention.sliding_window", c.window);
  out.set("smallthinker.rope_layout", GgufValue::array(as_array(c.rope)));
  out.set("smallthinker.sliding_window_layout", GgufValue::array(as_array(c.sliding)));
  out.set("smallthinker.ffn_down_transposed", GgufValue::boolean(down_transposed));
}

}  // namespace st
