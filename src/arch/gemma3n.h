// What the two files of Gemma 3n share.
#pragma once

#include <cstdint>

#include "arch/architecture.h"
#include "arch/common.h"

namespace st::gemma3n {

// Beside the dimensions of every model.
struct Shape {
  int64_t streams;    // A
  int64_t per_layer;  // P: width of a token's embedding for a layer
  int64_t rank;       // R of LAuReL
};
inline constexpr int64_t kMostStreams = 8;

inline constexpr std::string_view kLaurelLeft = "laurel_l";

Shape read_shape(const ConfigKeys& keys);
ModelConfig read_config(const GgufModel& model, const ConfigOptions& options, Notices& notices);

}  // namespace st::gemma3n
