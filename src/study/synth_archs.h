// The models `synth` can imitate: their configurations, and a vocabulary of their size.
#pragma once

#include <string_view>

#include "model/config.h"
#include "text/vocab.h"

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

// A made-up vocabulary of any size, byte-level BPE, laid out as Qwen2's. `rows` tokens: the bytes,
// pieces made by merges of earlier ones up to id `regular`, then
// <|endoftext|>, <|im_start|>, <|im_end|>, and padding. Any text round trips, and common letters go
// together, so English costs about as many tokens as its letters in pairs. The order is Latin
// first, other scripts last. REQUIRES: 256 <= regular <= rows - 3, regular <= 300,000.
Vocab make_synth_vocab(int64_t regular, int64_t rows);

}  // namespace st
