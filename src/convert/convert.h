// A Hugging Face folder -> one GGUF file.
#pragma once

#include <string>
#include <vector>

#include "base/stop.h"
#include "convert/tensor_plan.h"

namespace st {

struct ConvertOptions {
  std::string folder;
  std::string outfile;
  DType type = DType::kF16;     // F32, F16, BF16, Q8_0 or Q4_0
  bool transpose_down = false;  // store expert down matrices row by neuron, for the sparse path
  std::string predictor;  // model_lm_head.pt or a safetensors file with fc1 and fc2; may be empty
  bool dry_run = false;   // plan and check everything, write nothing
  int threads = 0;        // 0: as choose_threads() says
  Progress progress;
};

struct ConvertResult {
  std::vector<PlannedTensor> tensors;
  uint64_t tensor_bytes = 0;
  uint64_t file_bytes = 0;
  std::vector<std::string> notices;
};

// Streams the checkpoint into `outfile`, which appears complete or not at all. Memory use is
// bounded by the largest expert matrix, not by the model. Throws Error.
ConvertResult convert_hf(const ConvertOptions& options);

}  // namespace st
