#include "engine/pass_costs.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace st {
namespace {

constexpr int64_t kSingles = 10;  // passes over one token that are averaged, about
constexpr double kKeep = 0.995;   // of what was seen, from pass to pass
constexpr double kAtFirst = 0.5;  // of a further token, before any was seen; counts as much as
constexpr double kDoubt = 0.05;   // so many passes
constexpr double kNear = 0.25;    // passes over a token more or less say so much

// What an interruption adds is no cost of a pass: nothing counts more than this many times what it
// should.
constexpr double kOutlier = 2;

}  // namespace

void PassCosts::add(int64_t tokens, double seconds) {
  if (tokens == 1) {
    const double most = single_ > 0 ? kOutlier * single_ : seconds;
    singles_ = std::min(singles_ + 1, kSingles);
    single_ += (std::min(seconds, most) - single_) / static_cast<double>(singles_);
  }
  for (Seen& seen : seen_) seen = {seen.more * kKeep, seen.all * kKeep};
  if (tokens == 1 || single_ == 0) return;
  const double cost = std::min(seconds / single_, kOutlier * static_cast<double>(tokens));
  Seen& seen = seen_[static_cast<size_t>(tokens)];
  seen.more += (cost - 1) / static_cast<double>(tokens - 1);
  seen.all += 1;
}

double PassCosts::of(int64_t tokens) const {
  if (single_ == 0) return static_cast<double>(tokens);
  double more = kAtFirst * kDoubt, all = kDoubt;
  for (int64_t n = 2; n <= kMost; ++n) {
    const Seen& seen = seen_[static_cast<size_t>(n)];
    const double counts = std::pow(kNear, std::abs(n - tokens));
    more += counts * seen.more;
    all += counts * seen.all;
  }
  return 1 + more / all * static_cast<double>(tokens - 1);
}

}  // namespace st
