// Compaction for instruction sets without an instruction for it. Needs no vector vocabulary.
#pragma once

#include <cstdint>

namespace st {
namespace {

int64_t find_nonzero(const float* x, int64_t n, int32_t from, int32_t* index, float* values) {
  int64_t found = 0;
  for (int64_t i = 0; i < n; ++i) {  // without branches: which are zero is hard to predict
    index[found] = from + static_cast<int32_t>(i);
    values[found] = x[i];
    found += x[i] != 0;
  }
  return found;
}

}  // namespace
}  // namespace st
