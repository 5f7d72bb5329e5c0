// Which tensor of a Hugging Face checkpoint becomes which of the GGUF file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "format/checkpoint.h"
#include "model/config.h"
#include "tensor/dtype.h"

namespace st {

// One tensor of the output, made of one or more of the input, in order.
struct PlannedTensor {
  std::string name;  // GGUF name
  DType type = DType::kF32;
  std::vector<uint64_t> ne;               // GGUF dimensions, fastest first
  std::vector<CheckpointTensor> sources;  // experts of a stack; the two halves of the predictor
  bool transpose = false;                 // each source on its own
};

struct PlanOptions {
  DType type = DType::kF16;  // of matrices; norms and routers stay F32
  bool transpose_down = false;
  std::vector<CheckpointTensor> predictor;  // fc1.weight (R, D), fc2.weight (V, R); or empty
};

// Plans the whole output, in layer order. Throws Error(kInvalidData) naming any tensor that is
// missing, misshapen or unknown. A stored lm_head of a tied model is left out.
std::vector<PlannedTensor> plan_tensors(const ModelConfig& config, bool tied,
                                        const std::vector<CheckpointTensor>& checkpoint,
                                        const PlanOptions& options);

// general.file_type of a file whose matrices are mostly `type`; informational, the tensors decide.
uint32_t gguf_file_type(DType type);

// `want`, or F16 where rows of `cols` values cannot be cut into its blocks.
DType type_for_row(DType want, uint64_t cols);

}  // namespace st
