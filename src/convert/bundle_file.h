// A model -> a bundle, whose experts are read in one piece each and checked; and a model without
// its experts. docs/format-bundle.md
#pragma once

#include <string>
#include <string_view>

#include "base/stop.h"

namespace st {

struct BundleOptions {
  std::string input, output;
  std::string expert_bundle;  // headerless file with the experts of a stripped input
  Progress progress;
};

struct BundleResult {
  uint64_t experts = 0;                // a dense layer is one
  std::string_view units = "experts";  // what they are to a user: of a dense model, layers
  uint64_t expert_bytes = 0;           // with padding
  uint64_t file_bytes = 0;
};

// Writes a whole model in little memory; it appears complete or not at all. Nothing is rounded, and
// the same input gives the same bytes on any machine. Throws Error.
BundleResult write_bundle(const BundleOptions& options);

struct StripResult {
  uint64_t dropped = 0, dropped_bytes = 0;  // tensors
  uint64_t file_bytes = 0;
};

// Copies a GGUF file but for its expert tensors.
StripResult strip_file(const std::string& input, const std::string& output,
                       const Progress& progress);

}  // namespace st
