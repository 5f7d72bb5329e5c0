// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace st {

std::string format_bytes(uint64_t bytes);  // "1.9 GiB"
uint64_t peak_memory_bytes();              // the largest resident set so far
bool reset_peak_memory();                  // counts it anew; false where the system cannot
double seconds_since_start();              // of the process's clock, for intervals

}  // namespace st
