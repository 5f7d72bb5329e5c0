// config.json of a Hugging Face folder -> ModelConfig.
#pragma once

#include <string>
#include <string_view>

#include "model/config.h"

namespace st {

struct HfConfig {
  ModelConfig model;
  bool tied = false;  // lm_head is the embedding
};

// Parses the text of config.json. Refuses what SmallThinker's code once knew but no released model
// uses (q/k norms, dense layers, shared experts, scaled RoPE, unnormalised routing) when it is on.
HfConfig parse_hf_config(std::string_view text);

}  // namespace st
