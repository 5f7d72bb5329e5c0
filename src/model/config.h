// The numbers that define a model, whichever file they came from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace st {

// How the scores of the chosen experts become weights that sum to 1.
enum class Gating {
  kSoftmax,  // exp(z) / sum exp(z) over the chosen ones
  kSigmoid,  // sigmoid(z) / sum sigmoid(z)
};

struct ModelConfig {
  std::string architecture;  // "smallthinker"
  std::string name;

  int64_t layers = 0;        // L
  int64_t hidden = 0;        // D: width of the residual stream
  int64_t heads = 0;         // H: query heads
  int64_t kv_heads = 0;      // K: key/value heads, H a multiple of K
  int64_t head_dim = 0;      // d; H * d need not be D
  int64_t experts = 0;       // E
  int64_t experts_used = 0;  // k, experts per token
  int64_t ffn = 0;           // F: width of one expert
  int64_t vocab = 0;         // V: rows of the embedding
  int64_t context = 0;       // positions it was trained for

  float rms_eps = 1e-6f;
  float rope_theta = 1e6f;
  float rope_factor = 1;      // RoPE divides positions by this
  int64_t window = 0;         // on sliding layers a query sees this many keys, itself included
  std::vector<bool> rope;     // (L): layer rotates q and k
  std::vector<bool> sliding;  // (L): layer attends within the window only
  Gating gating = Gating::kSoftmax;
  bool down_transposed = false;  // what the file says of its down matrices, for D == F

  int64_t q_width() const { return heads * head_dim; }
  int64_t kv_width() const { return kv_heads * head_dim; }
};

// Throws Error(kInvalidData) unless the numbers are possible together and within sane limits.
// Messages name each number by its GGUF key, `prefix` ("smallthinker.") included.
void check_config(const ModelConfig& config, const std::string& prefix);

}  // namespace st
