// Tensor names of GGUF files, as llama.cpp fixed them.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace st::names {

inline constexpr std::string_view kEmbedding = "token_embd.weight";
inline constexpr std::string_view kPerLayerEmbedding = "per_layer_token_embd.weight";
inline constexpr std::string_view kOutputNorm = "output_norm.weight";
inline constexpr std::string_view kOutput = "output.weight";
inline constexpr std::string_view kPredictor = "lm_head_profiler.weight";

inline constexpr std::string_view kAttnNorm = "attn_norm";
inline constexpr std::string_view kAttnQ = "attn_q";
inline constexpr std::string_view kAttnK = "attn_k";
inline constexpr std::string_view kAttnV = "attn_v";
inline constexpr std::string_view kAttnOutput = "attn_output";
inline constexpr std::string_view kQNorm = "attn_q_norm";
inline constexpr std::string_view kKNorm = "attn_k_norm";
inline constexpr std::string_view kFfnNorm = "ffn_norm";
inline constexpr std::string_view kRouter = "ffn_gate_inp";
inline constexpr std::string_view kFfnGate = "ffn_gate_exps";
inline constexpr std::string_view kFfnUp = "ffn_up_exps";
inline constexpr std::string_view kFfnDown = "ffn_down_exps";
// Gate, up and down of a layer with experts, and of a dense one.
inline constexpr std::array kExpertParts{kFfnGate, kFfnUp, kFfnDown};
inline constexpr std::array<std::string_view, 3> kDenseParts{"ffn_gate", "ffn_up", "ffn_down"};

inline bool is_dense_part(std::string_view tensor) {
  return std::ranges::any_of(kDenseParts, [&](std::string_view part) {
    return tensor.ends_with(fmt::format(".{}.weight", part));
  });
}

// "blk.3.attn_q.weight"
inline std::string layer(int64_t l, std::string_view name) {
  return fmt::format("blk.{}.{}.weight", l, name);
}

inline bool is_of_layer(std::string_view tensor) { return tensor.starts_with("blk."); }

}  // namespace st::names
