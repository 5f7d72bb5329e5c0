// What is in each tensor of a made-up model.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "study/synth.h"
#include "study/synth_archs.h"
#include "study/synth_rows.h"

namespace st {

// Rows that are made alike.
struct SynthRows {
  int64_t rows = 0;
  int64_t cols = 0;
  uint64_t key = 0;  // of the random bits; row r has mix_bits(key, r)
  std::function<void(int64_t row, Row& out)> describe;
};

struct SynthTensor {
  std::string name;
  DType type = DType::kF32;
  std::vector<uint64_t> ne;                    // GGUF dimensions, fastest first
  std::vector<SynthRows> parts;                // of a quantised tensor, in order
  std::function<std::vector<float>()> floats;  // of an F32 tensor
};

// Every tensor, in the order of the file.
std::vector<SynthTensor> plan_synth_tensors(const SynthArch& arch, const SynthOptions& options);

}  // namespace st
