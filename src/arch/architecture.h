// What must be known about one family of models. Adding a family means writing one file that
// defines one of these, and naming it in architecture.cc.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/gguf_model.h"
#include "model/config.h"
#include "model/decoder.h"
#include "weights/weight_store.h"

namespace st {

// What a user may override, and what the loader found worth telling. Notices are one-liners for a
// log.
struct ConfigOptions {
  std::optional<Gating> gating;  // instead of what the file says or implies
};
using Notices = std::vector<std::string>;

struct Architecture {
  std::string_view name;  // general.architecture

  // Reads and checks the hyperparameters; which tensors there are may be one of them.
  ModelConfig (*read_config)(const GgufModel& model, const ConfigOptions& options,
                             Notices& notices);

  // Requests every tensor of the model.
  std::unique_ptr<Decoder> (*load)(WeightStore& store, const ModelConfig& config);
};

using Architectures = std::span<const Architecture* const>;

// All families of this program.
Architectures all_architectures();

// By general.architecture. Throws Error(kUnsupported) listing those there are.
const Architecture& find_architecture(const GgufFile& file,
                                      Architectures known = all_architectures());

extern const Architecture kSmallThinker, kQwen3, kQwen3Moe, kGemma3n;

}  // namespace st
