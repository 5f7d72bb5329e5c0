// config.json of a Hugging Face folder -> what a GGUF file says of the model.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "format/gguf.h"
#include "model/config.h"

namespace st {

struct HfFamily;

// Widths of what only Gemma 3n has; 0 elsewhere.
struct HfStreams {
  int64_t count = 0;            // A: streams of the residual
  int64_t laurel_rank = 0;      // R
  int64_t per_layer = 0;        // P: width of a layer's own embedding of a token
  int64_t per_layer_vocab = 0;  // rows of the table of those; other tokens take row 0
  // Of the coefficients that mix the streams.
  float largest_coefficient = std::numeric_limits<float>::infinity();
};

struct HfConfig {
  const HfFamily* family = nullptr;
  ModelConfig model;
  HfStreams streams = {};
  bool tied = false;                 // lm_head is the embedding
  std::vector<GgufEntry> keys = {};  // of this family alone, beyond what every model has
  std::vector<std::string> notices = {};
};

// Parses the text of config.json. Every key is judged: it is read, is known to change no result, or
// must have the one value that we compute. Anything else is an Error(kUnsupported) that names it.
HfConfig parse_hf_config(std::string_view text);

}  // namespace st
