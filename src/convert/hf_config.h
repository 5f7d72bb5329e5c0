// config.json of a Hugging Face folder -> ModelConfig.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"

namespace st {

struct HfConfig {
  ModelConfig model;
  bool tied = false;  // lm_head is the embedding
  std::vector<std::string> notices;
};

// Parses the text of config.json. Every key is judged: it is read, is known to change no result, or
// must have the one value that we compute. Anything else is an Error(kUnsupported) that names it.
HfConfig parse_hf_config(std::string_view text);

}  // namespace st
