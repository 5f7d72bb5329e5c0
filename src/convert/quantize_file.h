// A GGUF file of floats -> the same model in fewer bits.
#pragma once

#include <functional>
#include <string>

#include "base/stop.h"
#include "convert/encode.h"
#include "format/gguf_model.h"

namespace st {

struct QuantizeOptions {
  std::string input, output;
  DType type = DType::kQ4_0;  // F32, F16, BF16, Q8_0 or Q4_0
  bool pure = false;          // the output matrix in `type` too; else it keeps at least Q8_0
  int threads = 0;            // 0: as choose_threads() says
  Progress progress;
  // Told each tensor as it is done. May be empty.
  std::function<void(const GgufTensor& from, DType to, const EncodeError& error)> on_tensor;
};

struct QuantizeResult {
  uint64_t input_bytes = 0, output_bytes = 0;  // of tensors
  uint64_t weights = 0;
  EncodeError error;   // over everything that changed type
  std::string notice;  // if there was something worth telling
};

// Norms and what keeps_floats() are copied as they are; other matrices in F32, F16 or BF16 are
// encoded row by row; the lm-head predictor, though one flat tensor, is encoded too. Matrices that
// are quantised already can only be kept in their type: anything else is Error(kUnsupported).
QuantizeResult quantize_file(const QuantizeOptions& options);

}  // namespace st
