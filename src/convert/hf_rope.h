// How a Hugging Face config.json rotates positions: rope_theta, rope_scaling, rope_parameters.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "model/config.h"

namespace st {

// Of all layers. Reads what Transformers 4 writes (rope_theta beside rope_scaling) and what
// Transformers 5 does (all of it in rope_parameters, perhaps once for each type of layer). Types
// other than "default", "linear" and "yarn", and parts that contradict each other, are an Error.
// `theta`: where the file does not say it; 0: then that is an Error.
Rope read_hf_rope(const nlohmann::json& config, float theta);

// Of layers that see all and of those that slide: rope_theta and rope_local_base_freq, or
// rope_parameters with both. No type but "default".
struct HfRopes {
  Rope full, sliding;
};
HfRopes read_hf_ropes(const nlohmann::json& config);

}  // namespace st
