// Made-up models of the released shapes: for measuring speed and memory without the real weights.
//
// Types, shapes and metadata are those of the real files; the weights are random, but arranged so
// that what decides speed behaves as measured on the real models: neuron sparsity, how unevenly
// experts are used, and how many logits the lm-head predictor lets through. synth_weights.cc says
// how; of Gemma 3n, synth_gemma3n.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/stop.h"
#include "tensor/dtype.h"

namespace st {

struct SynthOptions {
  std::string arch;  // one of kSynthArchNames
  std::string outfile;
  uint64_t seed = 0;
  bool transpose_down = false;
  double gate_sparsity = 0.65;             // ReLU: share of gate values <= 0, median over layers
  double router_skew = 1;                  // 0: experts used evenly; 1: as unevenly as measured
  bool predictor = false;                  // with the lm-head predictor
  std::string arch_name = "smallthinker";  // or qwen3moe: those shapes for other engines
  DType type = DType::kQ4_0;               // of all matrices
  std::string mix;                         // or of each as in a mix, see quant_mix.h
  int threads = 0;                         // 0: as choose_threads() says
  Progress progress;
};

struct SynthResult {
  size_t tensors = 0;
  uint64_t tensor_bytes = 0;
  uint64_t file_bytes = 0;
  std::string notice;  // if there was something worth telling
};

// Writes `outfile`, which appears complete or not at all, in little memory. The same options (but
// threads) give the same bytes on any machine. Throws Error(kInvalidUsage) for options that do not
// exist or do not go together, Error(kIo) when the file cannot be written.
SynthResult synthesize(const SynthOptions& options);

}  // namespace st
