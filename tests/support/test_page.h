// For tests: the size of pages, in suites that run with several.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "base/memory.h"

namespace st {

// Of EngineOptions::page and its like: what ST_TEST_PAGE says, else that of the system.
inline uint64_t test_page() {
  const char* page = std::getenv("ST_TEST_PAGE");
  return page ? std::max<uint64_t>(std::strtoull(page, nullptr, 10), page_size()) : page_size();
}

}  // namespace st
