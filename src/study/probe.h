// What this machine can do at most: the yardsticks that measured speeds are held against.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace st {

struct Probe {
  std::string_view kernels;
  int threads = 0;
  double read_bandwidth = 0;  // bytes per second that all threads together read from memory
  double int8_peak = 0;       // 8-bit multiply-adds per second, all threads together
};

// Takes about `seconds`. Reads a buffer of up to 1 GiB, but no more than a quarter of the memory
// that is free, which it allocates and gives back.
Probe probe(const KernelTable& kernels, ThreadPool& pool, double seconds = 2);

// Of that only the bandwidth, within `most` bytes: a quick figure for a plan.
double probe_bandwidth(ThreadPool& pool, double seconds, uint64_t most);

}  // namespace st
