// Models of any legal shape, made up: small enough for a test to make thousands of them.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "tensor/dtype.h"

namespace st::shapes {

struct Shape {
  ModelConfig config;          // without layers, which are alike
  Ffn ffn{.routed = true};     // of each
  DType type = DType::kF32;    // of all matrices but the router's
  DType router = DType::kF32;  // its type
  int64_t window = 0;          // keys that sliding layers see; 0: no layer slides
  bool down_transposed = false;
  bool tied = true;                     // the embedding is the output matrix
  int64_t rank = 0;                     // of the predictor of the lm head; 0: there is none
  std::vector<std::string> more_norms;  // of each layer, beside SmallThinker's

  std::string text() const;  // for messages of tests
};

// The smallest model that there can be: every number is the least that check_config() lets through.
Shape smallest();

// A legal shape; small ones, and those just beside a multiple of what kernels take at a time, more
// often than others.
Shape draw_shape(std::mt19937& random);

// May change the values of a tensor before they are stored.
using Spoil = std::function<void(std::string_view tensor, std::span<float> values)>;

// Writes a GGUF file with random weights; the vocabulary is that of the 256 bytes, whose ids they
// are, and unused tokens after them. The same seed gives the same file.
void write_model(const Shape& shape, uint32_t seed, const std::string& path,
                 const Spoil& spoil = {});

}  // namespace st::shapes
