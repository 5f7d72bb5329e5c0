#include "experts/foresight.h"

#include <algorithm>
#include <cmath>

namespace st {

void Foresight::begin_pass(double busy) {
  ++passes_;
  busy_ += (std::clamp(busy, 0.0, 1.0) - busy_) / kPasses;
}

void Foresight::judge(int64_t right, int64_t wrong) {
  const auto count = static_cast<double>(right + wrong);
  if (count == 0) return;
  const double kept = std::pow(1 - 1 / kGuesses, count);
  precision_ = kept * precision_ + (1 - kept) * static_cast<double>(right) / count;
}

}  // namespace st
