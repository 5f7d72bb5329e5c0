// The models `synth` can imitate.
#pragma once

#include <string_view>

#include "model/config.h"

namespace st {

struct SynthArch {
  ModelConfig config;
  bool tied = false;            // the embedding is the output matrix too
  int64_t regular_tokens = 0;   // <|endoftext|> comes next
  int64_t hot_experts = 0;      // of each layer, at --router-skew 1
  double hot_score = 0;         // what sets them apart, in deviations of a router score
  double sum_square_gates = 0;  // sum over the chosen experts of weight^2, typically
};

// Throws Error(kInvalidUsage) for a name that is none.
SynthArch find_synth_arch(std::string_view name);

}  // namespace st
