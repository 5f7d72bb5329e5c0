// What is known of the Hugging Face checkpoints of one family.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "convert/hf_config.h"
#include "convert/hf_names.h"

namespace st {

struct HfFamily {
  std::string_view architecture;              // in GGUF
  std::span<const std::string_view> types;    // model_type
  std::span<const std::string_view> classes;  // first of architectures
  // Fills model (but its names), streams, tied, keys and notices.
  void (*read)(const nlohmann::json& config, HfConfig& hf);
  HfNames names;
  // Neurons whose gate is 0 are skipped: down matrices may lie transposed, and the head may have a
  // predictor of the rows that are needed.
  bool skips_neurons = false;
};

extern const HfFamily kHfSmallThinker;
extern const HfFamily kHfQwen3;
extern const HfFamily kHfQwen3Moe;
extern const HfFamily kHfGemma3n;

// What the families read alike: the numbers of the model, as far as they are not those of a layer.
// No head_dim: `head_dim`, or hidden_size / num_attention_heads if that is 0.
ModelConfig read_model(const nlohmann::json& config, int64_t head_dim);

// layer_types, if it is there: whether each layer slides. A model that has another number of
// layers, or kinds of layer beside "sliding_attention" and "full_attention", is an Error.
std::optional<std::vector<bool>> read_layer_types(const nlohmann::json& config, int64_t layers);

// Which layers slide, as llama.cpp has it for other families.
void add_window_keys(int64_t window, HfConfig& hf);

// Adds "ARCHITECTURE.suffix".
void add_key(std::string_view suffix, GgufValue value, HfConfig& hf);

}  // namespace st
