// Which tensors of a Hugging Face checkpoint become which of a GGUF file: words for the tables that
// the families have of them, and what is the same in all.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace st {

// Lengths of tensors, by what they are lengths of. Those of a layer may differ from the next one's.
enum class Length : uint8_t {
  kNone,    // there is no such dimension
  kHidden,  // D
  kVocab,   // V
  kQ,       // H * d
  kKv,      // K * d
  kHead,    // d
  kFfn,     // F of the layer
  kExperts,
  kStreams,         // A
  kStreamsSquared,  // A * A
  kOtherStreams,    // A - 1
  kLaurel,          // R
  kPerLayer,        // P
  kPerLayerAll,     // L * P
  kPerLayerVocab,
};

// How exactly a tensor must be kept.
enum class Kept : uint8_t {
  kAsAsked,
  kF32,          // what chooses or scales: rounding it moves everything behind it
  kCoefficient,  // F32, and within the bounds of the configuration
};

// Where a row of the table holds.
enum class Where : uint8_t {
  kAlways,
  kDense,   // in layers without a router
  kRouted,  // in the others
  kOwnsKv,  // may be missing where another layer's keys and values are read
};

struct TensorName {
  std::string_view gguf;        // without "blk.3." and ".weight"
  std::string_view hf;          // without "model.layers.3."; "{}" is the number of one of a stack
  Length rows = Length::kNone;  // outermost first: (rows, cols)
  Length cols = Length::kNone;  // none: a vector
  Kept kept = Kept::kAsAsked;
  Length stack = Length::kNone;  // so many of them become one
  Where where = Where::kAlways;
};

struct HfNames {
  std::span<const std::string_view> prefixes;  // of all; the first that an embedding has
  std::span<const std::string_view> skipped;   // prefixes of tensors that are no part of the text
  std::span<const TensorName> before;          // the layers
  std::span<const std::span<const TensorName>> layer;
};

// What the families have alike.
namespace hf_names {

using enum Length;

inline constexpr TensorName kEmbedding[] = {{"token_embd", "embed_tokens.weight", kVocab, kHidden}};

inline constexpr TensorName kAttention[] = {
    {"attn_norm", "input_layernorm.weight", kHidden},
    {"attn_q", "self_attn.q_proj.weight", kQ, kHidden},
    {"attn_k", "self_attn.k_proj.weight", kKv, kHidden, Kept::kAsAsked, kNone, Where::kOwnsKv},
    {"attn_v", "self_attn.v_proj.weight", kKv, kHidden, Kept::kAsAsked, kNone, Where::kOwnsKv},
    {"attn_output", "self_attn.o_proj.weight", kHidden, kQ},
};

inline constexpr TensorName kHeadNorms[] = {
    {"attn_q_norm", "self_attn.q_norm.weight", kHead},
    {"attn_k_norm", "self_attn.k_norm.weight", kHead, kNone, Kept::kF32, kNone, Where::kOwnsKv},
};

// Not Gemma's, which has another norm behind attention.
inline constexpr TensorName kNormOfFfn[] = {
    {"ffn_norm", "post_attention_layernorm.weight", kHidden}};

inline constexpr TensorName kDenseFfn[] = {
    {"ffn_gate", "mlp.gate_proj.weight", kFfn, kHidden, Kept::kAsAsked, kNone, Where::kDense},
    {"ffn_up", "mlp.up_proj.weight", kFfn, kHidden, Kept::kAsAsked, kNone, Where::kDense},
    {"ffn_down", "mlp.down_proj.weight", kHidden, kFfn, Kept::kAsAsked, kNone, Where::kDense},
};

}  // namespace hf_names
}  // namespace st
