// From logits to the next token: a chain of filters over the candidates, then a draw.
//
// Names, order and meaning are llama.cpp's. Our own promise: candidates are ordered by logit
// descending, then by id ascending, and a draw takes exactly two outputs of std::mt19937, so a seed
// gives the same text on every machine that computes the same logits.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "text/vocab.h"

namespace st {

enum class SamplerKind { kPenalties, kTopK, kTypicalP, kTopP, kMinP, kTemperature };

struct SamplerOptions {
  uint32_t seed = 0xFFFFFFFF;      // 0xFFFFFFFF: taken from the operating system
  uint64_t used = 0;               // outputs of that seed's generator that went before
  float temperature = 0.8f;        // <= 0: always the most likely token
  int32_t top_k = 40;              // <= 0: off
  float top_p = 0.95f;             // >= 1: off
  float min_p = 0.05f;             // <= 0: off
  float typical_p = 1.0f;          // >= 1: off
  int32_t repeat_last_n = 64;      // tokens the penalties look back on; 0: off, -1: all
  float repeat_penalty = 1.0f;     // 1: off
  float frequency_penalty = 0.0f;  // 0: off
  float presence_penalty = 0.0f;   // 0: off
  std::vector<SamplerKind> chain = {SamplerKind::kPenalties, SamplerKind::kTopK,
                                    SamplerKind::kTypicalP,  SamplerKind::kTopP,
                                    SamplerKind::kMinP,      SamplerKind::kTemperature};
  std::vector<Token> banned;  // never chosen
};

// "temperature;top_k;top_p" -> kinds. llama.cpp's alternative spellings are understood, and its
// samplers that are off unless given options of their own (dry, xtc, top_n_sigma) are passed over.
// Throws Error(kInvalidUsage) naming an unknown sampler and the known ones.
std::vector<SamplerKind> parse_samplers(std::string_view text);

class Sampler {
 public:
  explicit Sampler(SamplerOptions options);

  uint32_t seed() const { return options_.seed; }
  uint64_t used() const { return options_.used; }  // outputs of the generator so far

  // Chooses from logits (V); NaN counts as -infinity. Call accept() with the token that is then
  // really used. Throws Error(kInvalidData) if no token has a logit and is not banned.
  Token sample(std::span<const float> logits);

  // Tells the penalties about a token of the text, prompt tokens included.
  void accept(Token token);

 private:
  struct Candidate {
    Token id;
    float logit;
  };
  struct Better {
    bool operator()(const Candidate& a, const Candidate& b) const {
      return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
    }
  };
  void take(std::span<const float> logits);
  void apply(SamplerKind kind);
  void penalties();
  void top_k(int64_t k);
  void typical_p();
  void top_p();
  void min_p();
  void temperature();
  void order();  // best first
  void count_into_order();
  const std::vector<double>& probabilities();  // of the candidates as they stand, best first
  auto at(size_t i) { return candidates_.begin() + static_cast<ptrdiff_t>(i); }
  Token draw();

  SamplerOptions options_;
  std::mt19937 generator_;
  std::vector<Token> history_;
  std::vector<Candidate> candidates_, spare_;
  std::vector<double> probabilities_;
};

}  // namespace st
