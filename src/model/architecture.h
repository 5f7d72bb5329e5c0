// What the engine must know about one family of models. Adding a family means writing one file that
// defines one of these, and naming it in architecture.cc.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/gguf_model.h"
#include "model/config.h"
#include "model/layer.h"
#include "weights/expert_layer.h"

namespace st {

struct Step;

// What a user may override, and what the loader found worth telling. Notices are one-liners for a
// log.
struct ConfigOptions {
  std::optional<Gating> gating;  // instead of what the file says or implies
};
using Notices = std::vector<std::string>;

struct Architecture {
  std::string_view name;  // general.architecture

  // Reads and checks the hyperparameters.
  ModelConfig (*read_config)(const GgufFile& file, const ConfigOptions& options, Notices& notices);

  // Requests every tensor of the model.
  Weights (*load)(WeightStore& store, const ModelConfig& config);

  // Runs layer `l` on the residual stream of `step` (see forward.h).
  void (*layer)(Step& step, int64_t l);
};

// By general.architecture. Throws Error(kUnsupported) listing the known ones.
const Architecture& find_architecture(const GgufFile& file);

extern const Architecture kSmallThinker;

}  // namespace st
