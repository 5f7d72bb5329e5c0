// A GGUF file -> the same model in fewer bits.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/stop.h"
#include "convert/encode.h"
#include "format/gguf_model.h"

namespace st {

struct QuantizeOptions {
  std::string input, output;
  std::string mix = "Q4_K_M";  // llama.cpp's name for which types: see quant_mix.h
  bool pure = false;           // all matrices in the mix's own type
  // Types of single matrices, before what the mix has for them.
  std::optional<DType> output_type, embedding_type;
  std::vector<std::pair<std::string, DType>> tensor_types;  // by regular expression; first counts
  std::string imatrix;            // file with the importance of columns; empty: none
  bool allow_requantize = false;  // also from types with fewer bits than F16
  bool dry_run = false;           // writes nothing
  int threads = 0;                // 0: as choose_threads() says
  Progress progress;
  // Told each tensor as it is done. May be empty.
  std::function<void(const GgufTensor& from, DType to, const EncodeError& error)> on_tensor;
};

struct QuantizeResult {
  struct Part {
    size_t tensors = 0;
    uint64_t bytes = 0;
  };
  std::map<DType, Part> types;                 // of the output
  uint64_t input_bytes = 0, output_bytes = 0;  // of tensors
  uint64_t weights = 0;
  EncodeError error;  // over everything that changed type
  std::vector<std::string> notices;
};

// Norms and what keeps_floats() are copied as they are; other matrices are encoded row by row, and
// so is the lm-head predictor, though one flat tensor. Where rows cannot be cut into the blocks of
// a type another takes its place (type_for_row). Matrices that have their type already are copied;
// without allow_requantize, other types than F32, F16 and BF16 are Error(kUnsupported).
QuantizeResult quantize_file(const QuantizeOptions& options);

}  // namespace st
