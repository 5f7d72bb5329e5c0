// How much of what is random a test does: more when it may take long.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace st::testkit {

// n, times ST_TEST_SCALE where that is set.
inline int64_t scaled(int64_t n) {
  const char* scale = std::getenv("ST_TEST_SCALE");
  return scale != nullptr ? n * std::max(1, std::atoi(scale)) : n;
}

}  // namespace st::testkit
