// How a Hugging Face config.json rotates positions: rope_theta, rope_scaling, rope_parameters.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace st {

struct HfRope {
  float theta = 1e6f;  // of the published configuration class
  float factor = 1;    // positions are divided by it
};

// Reads what Transformers 4 writes (rope_theta beside rope_scaling) and what Transformers 5 does
// (all of it in rope_parameters, perhaps once for each type of layer). Types other than "default"
// and "linear", and parts that contradict each other, are an Error.
HfRope read_hf_rope(const nlohmann::json& config);

}  // namespace st
