// What families of models share: the keys and tensors that llama.cpp gives all of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "arch/architecture.h"

namespace st {

// The keys of a family in a file: "smallthinker." + suffix.
class ConfigKeys {
 public:
  ConfigKeys(const GgufModel& model, std::string_view architecture);

  std::string key(std::string_view suffix) const { return prefix_ + std::string(suffix); }
  const std::string& prefix() const { return prefix_; }

  // Missing: Error(kInvalidData) from get_, nothing from find_.
  int64_t get_u32(std::string_view suffix) const { return file().get_u32(key(suffix)); }
  std::optional<uint32_t> find_u32(std::string_view suffix) const {
    return file().find_u32(key(suffix));
  }
  std::optional<float> find_f32(std::string_view suffix) const {
    return file().find_f32(key(suffix));
  }
  std::optional<bool> find_bool(std::string_view suffix) const {
    return file().find_bool(key(suffix));
  }
  // An array with a 0 or 1 for each of so many layers.
  std::optional<std::vector<bool>> find_layout(std::string_view suffix, int64_t layers) const;

  const GgufFile& file() const { return model_.metadata(); }
  const GgufModel& model() const { return model_; }

 private:
  const GgufModel& model_;
  std::string prefix_;
};

// Everything but the layers' own configuration and the gating, checked; layers have the rope of
// the file, no window, and no feed-forward network yet.
ModelConfig read_base_config(const ConfigKeys& keys, Notices& notices);

// A base of rotation: 0, which tells a layer not to rotate, is nothing that a file may say.
std::optional<float> find_rope_base(const ConfigKeys& keys, std::string_view suffix);

// The experts of layers that have some.
Ffn read_experts(const ConfigKeys& keys, Activation activation);

// What a file has of a model beside its layers. `down_transposed`: how square down matrices lie.
Weights load_weights(WeightStore& store, const ModelConfig& config, bool down_transposed);

// Without keys and values where the layer reads another's.
AttentionWeights load_attention(WeightStore& store, const ModelConfig& config, int64_t l);

}  // namespace st
