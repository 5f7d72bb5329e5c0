// The numbers that define a model, whichever file they came from.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace st {

// How the scores of the chosen experts become weights.
enum class Gating {
  kSoftmax,       // exp(z) / sum exp(z) over the chosen ones
  kSigmoid,       // sigmoid(z) / sum sigmoid(z) over them
  kSoftmaxOfAll,  // exp(z) / sum exp(z) over all experts: the weights sum to less than 1
};

// What the gates of a feed-forward network become: act(gate) * up.
enum class Activation {
  kRelu,  // most are 0 then, and their neurons are skipped
  kSilu,
  kGelu,  // with tanh: x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
};

// Rotary position embedding: the pair (i, i + d/2) of a head is rotated by position * frequency,
// which is theta^(-2i/d) / factor.
struct Rope {
  float theta = 0;  // 0: the layer does not rotate
  float factor = 1;
  // YaRN (Peng et al., 2023), if not 0: positions that a model was trained for before it was
  // stretched. A pair that turns more than beta_fast times in them keeps theta^(-2i/d), one that
  // turns less than beta_slow times has it divided, those between have something between.
  int64_t yarn_context = 0;
  float beta_fast = 32;
  float beta_slow = 1;
  float magnitude = 1;  // of rotated pairs, by which they are multiplied

  static bool possible_theta(float x) { return x >= 1 && x < 1e12f; }  // of one that rotates

  // Of pair i of heads of d values, per position.
  double frequency(int64_t i, int64_t d) const;

  bool operator==(const Rope&) const = default;
};

// The magnitude that YaRN's paper has for a factor.
float yarn_magnitude(float factor);

// The feed-forward network of a layer: experts that a router chooses from, or a dense one, which is
// an expert that every token uses with weight 1.
struct Ffn {
  bool routed = false;
  int64_t experts = 1;  // E
  int64_t used = 1;     // k, experts per token
  int64_t width = 0;    // F of one expert
  Activation activation = Activation::kSilu;
  // With kGelu: gates become relu(gate - (mean + cutoff * standard deviation)) first, over the F
  // gates of a token; -infinity: they stay.
  float cutoff = -std::numeric_limits<float>::infinity();

  bool cuts() const { return cutoff > -std::numeric_limits<float>::infinity(); }

  // Whether some neurons are exactly 0, so that their up rows and down columns are not needed.
  bool skips() const { return activation == Activation::kRelu || cuts(); }

  bool operator==(const Ffn&) const = default;
};

// What may differ from layer to layer.
struct LayerConfig {
  Rope rope;           // of q and k
  int64_t window = 0;  // a query sees this many keys, itself included; 0: all
  // The layer before whose keys and values it reads; -1: it has its own.
  int64_t kv_layer = -1;
  Ffn ffn = {};

  bool owns_kv() const { return kv_layer < 0; }
  bool operator==(const LayerConfig&) const = default;
};

struct ModelConfig {
  std::string architecture;  // "smallthinker"
  std::string name;

  int64_t layers = 0;    // L
  int64_t hidden = 0;    // D: width of the residual stream
  int64_t heads = 0;     // H: query heads
  int64_t kv_heads = 0;  // K: key/value heads, H a multiple of K
  int64_t head_dim = 0;  // d; H * d need not be D
  int64_t vocab = 0;     // V: rows of the embedding
  int64_t context = 0;   // positions it was trained for

  float rms_eps = 1e-6f;
  float attention_scale = 0;       // q k times this is a score; 0: 1 / sqrt(d)
  bool norm_values = false;        // each head's v is normalised, without weights
  std::vector<LayerConfig> layer;  // (L)
  Gating gating = Gating::kSoftmax;
  float logit_softcap = 0;  // logits are cap * tanh(logits / cap); 0: as they are
  // Values of a token in buffers that the family has beside those of all: State::extra.
  std::vector<int64_t> extra;
  int64_t extra_input = 0;  // columns of the widest projection of such values

  int64_t q_width() const { return heads * head_dim; }
  int64_t kv_width() const { return kv_heads * head_dim; }
  // By which q k is divided: exact where it is sqrt(d), and where the scale is 1.
  double score_divisor() const;

  const Ffn& ffn(int64_t l) const { return layer[static_cast<size_t>(l)].ffn; }
  void set_ffn(const Ffn& ffn) {  // of every layer
    for (LayerConfig& l : layer) l.ffn = ffn;
  }
  // Of all layers, for what is made once and serves each.
  int64_t most_experts() const;
  int64_t most_used() const;
  int64_t widest_ffn() const;
  bool has_experts() const;      // some layer has a router
  bool all_route_alike() const;  // all have one, and experts alike
};

// Throws Error(kInvalidData) unless the numbers are possible together and within sane limits.
// Messages name each number by its GGUF key, `prefix` ("smallthinker.") included.
void check_config(const ModelConfig& config, const std::string& prefix);

}  // namespace st
