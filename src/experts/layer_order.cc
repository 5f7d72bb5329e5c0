#include "experts/layer_order.h"

#include <algorithm>

namespace st {
namespace {

// Of the van der Corput sequence, 0 1/2 1/4 3/4 1/8 ...: any beginning of it is spread evenly, up
// to a factor of 2 between gaps.
double spread(int64_t i) {
  double value = 0;
  for (double step = 0.5; i > 0; i /= 2, step /= 2) value += step * static_cast<double>(i % 2);
  return value;
}

}  // namespace

std::vector<bool> layers_that_stay(int64_t layers, int64_t room) {
  const int64_t staying = room >= layers ? layers : std::max<int64_t>(0, room - kStreamBuffers);
  std::vector<bool> stay(static_cast<size_t>(layers), true);
  int64_t streaming = 0;
  for (int64_t i = 0; streaming < layers - staying; ++i) {
    const auto l = static_cast<size_t>(spread(i) * static_cast<double>(layers));
    streaming += stay[l];
    stay[l] = false;
  }
  return stay;
}

}  // namespace st
