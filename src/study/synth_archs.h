// The models `synth` can imitate, by their configurations.
#pragma once

#include <string_view>

#include "convert/hf_config.h"
#include "model/config.h"

namespace st {

struct SynthArch {
  ModelConfig config;
  bool tied = false;            // the embedding is the output matrix too
  int64_t regular_tokens = 0;   // <|endoftext|>, or an unused token of Gemma's, comes next
  int64_t hot_experts = 0;      // of each layer, at --router-skew 1
  int64_t topic_experts = 0;    // of them, that each topic but the first has of its own
  double hot_score = 0;         // what sets them apart, in deviations of a router score
  double sum_square_gates = 0;  // sum over the chosen experts of weight^2, typically
  HfConfig hf = {};             // of other families than SmallThinker
};

// The names, for messages. The "tiny" ones are for tests.
inline constexpr std::string_view kSynthArchNames =
    "4b, 21b, tiny, qwen3-0.6b, qwen3-1.7b, qwen3-4b, qwen3-8b, qwen3-30b-a3b, qwen3-tiny, "
    "qwen3-moe-tiny, gemma3n-e2b, gemma3n-e4b or gemma3n-tiny";

// Throws Error(kInvalidUsage) for a name that is none.
SynthArch find_synth_arch(std::string_view name);

}  // namespace st
