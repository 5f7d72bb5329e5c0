#include "engine/lookup_drafter.h"

#include <algorithm>

namespace st {
namespace {

constexpr double kWorthIt = 1.05;  // times as many tokens per second, at least

}  // namespace

std::span<const Token> LookupDrafter::draft(std::span<const Token> text, int64_t most) {
  copied_.follow(text);
  const int64_t place = copied_.place();
  if (place == 0) return {};
  most = std::min({most, PassCosts::kMost - 1, std::ssize(text) - place});
  double best = kWorthIt, tokens = 1, chance = 1;
  int64_t drafted = 0;
  for (int64_t n = 1; n <= most; ++n) {
    chance *= copied_.chance(n - 1);  // that all n are chosen
    tokens += chance;
    const double gain = tokens / costs_.of(1 + n);
    if (gain <= best) continue;
    best = gain;
    drafted = n;
  }
  return text.subspan(static_cast<size_t>(place), static_cast<size_t>(drafted));
}

void LookupDrafter::timed(int64_t drafted, double seconds) {
  if (drafted < PassCosts::kMost) costs_.add(1 + drafted, seconds);
}

}  // namespace st
