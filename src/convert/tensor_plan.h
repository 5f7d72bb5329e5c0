// Which tensor of a Hugging Face checkpoint becomes which of the GGUF file.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "convert/hf_config.h"
#include "format/checkpoint.h"
#include "tensor/dtype.h"

namespace st {

// One tensor of the output, made of one or more of the input, in order.
struct PlannedTensor {
  std::string name;  // GGUF name
  DType type = DType::kF32;
  std::vector<uint64_t> ne;               // GGUF dimensions, fastest first
  std::vector<CheckpointTensor> sources;  // experts of a stack; the two halves of the predictor
  bool transpose = false;                 // each source on its own
  uint64_t first_row_again = 0;           // so many rows follow that are the first one
  float largest = std::numeric_limits<float>::infinity();  // further values become this
};

struct TensorPlan {
  std::vector<PlannedTensor> tensors;
  std::vector<std::string> notices;
};

struct PlanOptions {
  DType type = DType::kF16;  // of matrices, unless they are kept more exactly
  bool transpose_down = false;
  std::vector<CheckpointTensor> predictor;  // fc1.weight (R, D), fc2.weight (V, R); or empty
};

// Plans the whole output, in layer order. Throws Error(kInvalidData) naming any tensor that is
// missing, misshapen or unknown. A stored lm_head of a tied model is left out.
TensorPlan plan_tensors(const HfConfig& config, const std::vector<CheckpointTensor>& checkpoint,
                        const PlanOptions& options);

// The same of a checkpoint that has every tensor a family may have: names, shapes and types of a
// made-up model. REQUIRES: the family has no predictor.
TensorPlan plan_every_tensor(const HfConfig& config, DType type);

// Whether a tensor of this GGUF name keeps the floats it has, whatever type others take.
// llama.cpp's rule: routers choose, and the small matrices of Gemma 3n's streams are not worth it.
bool keeps_floats(std::string_view name);

}  // namespace st
