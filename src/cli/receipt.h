// What became of a memory budget, told at the end of a run.
#pragma once

#include <cstdint>

#include "engine/engine.h"

namespace st {

// To standard error, for `tokens` tokens in `seconds`.
void print_receipt(const MemoryReport& report, int64_t tokens, double seconds);

}  // namespace st
