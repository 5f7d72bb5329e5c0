// From the last hidden state to logits.
//
// The head is the largest matrix a token passes through, and only few of its rows can win. Models
// may bring a predictor of low rank, score = Up (Down x), trained so that rows with a score above
// a threshold are those that matter (technical report, section 3.3; the reference uses 0). The
// sparse head computes only these; the others' logits are -infinity, so that no sampler picks them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace st {

struct Step;

enum class LmHead {
  kDense,   // all rows
  kSparse,  // rows the predictor picks, if there is one, for tokens that may go without the others
  kCheck,   // all rows, and count how often the sparse head would have agreed
};

struct LmHeadOptions {
  LmHead mode = LmHead::kDense;
  float threshold = 0;          // rows with a larger score are computed
  int64_t floor = 256;          // at least that many: those with the largest scores
  std::vector<int32_t> always;  // rows computed in any case, ascending
};

// What kCheck saw.
struct LmHeadAgreement {
  uint64_t steps = 0;
  uint64_t best_kept = 0;   // steps whose best row was picked
  uint64_t top20_kept = 0;  // of 20 * steps
};

constexpr int64_t kSinkRows = 16;  // that a sink gets at a time, at most

// Logits of the batch items that want them, (rows, V); or nothing, and the step's sink gets them.
std::span<const float> lm_head(Step& step);

}  // namespace st
