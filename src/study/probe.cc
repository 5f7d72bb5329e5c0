#include "study/probe.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/cgroup.h"
#include "base/clock.h"
#include "base/memory.h"

namespace st {
namespace {

constexpr uint64_t kAtMost = uint64_t{1} << 30;

uint64_t buffer_bytes(uint64_t most) {
  constexpr uint64_t kAtLeast = uint64_t{64} << 20;
  constexpr uint64_t kStep = uint64_t{16} << 20;
  return std::clamp(available_memory() / 4, kAtLeast, most) / kStep * kStep;
}

// Calls `pass` until `seconds` have gone by, at least three times, and returns the shortest.
template <typename Pass>
double fastest(double seconds, Pass&& pass) {
  double best = 0;
  const auto start = Clock::now();
  for (int passes = 0; passes < 3 || seconds_since(start) < seconds; ++passes) {
    const auto begin = Clock::now();
    pass();
    const double taken = seconds_since(begin);
    best = passes == 0 ? taken : std::min(best, taken);
  }
  return best;
}

double int8_peak(const KernelTable& kernels, ThreadPool& pool, double seconds) {
  // Passes so short that some go undisturbed on a busy machine.
  int64_t iterations = 1000;
  for (;;) {
    const auto begin = Clock::now();
    kernels.peak_int8(iterations);
    if (seconds_since(begin) > seconds / 500) break;
    iterations *= 2;
  }
  std::atomic<int64_t> done = 0;
  const double best = fastest(seconds, [&] {
    done = 0;
    pool.run([&](int, int) { done += kernels.peak_int8(iterations); });
  });
  return static_cast<double>(done) / best;
}

}  // namespace

// Sweeps over a buffer that no cache holds, timing an eighth at a time: short enough that some pass
// goes undisturbed on a busy machine. Each sweep is by another table, as it is the memory that is
// measured and not one way to load.
double probe_bandwidth(ThreadPool& pool, double seconds, uint64_t most) {
  constexpr int64_t kGrain = int64_t{1} << 20;
  constexpr uint64_t kParts = 8;
  MemoryRegion buffer(buffer_bytes(most));
  buffer.prefer_huge_pages();
  const auto part = static_cast<int64_t>(buffer.size() / kParts);
  // Pages exist once they are written; each thread writes those it will read.
  for (uint64_t i = 0; i < kParts; ++i) {
    std::byte* p = buffer.data() + i * static_cast<uint64_t>(part);
    pool.parallel_for(part, kGrain, [&](int64_t begin, int64_t end) {
      std::memset(p + begin, 1, static_cast<size_t>(end - begin));
    });
  }
  const auto tables = usable_kernels();
  uint64_t passes = 0;
  const double best = fastest(seconds, [&] {
    const auto read = tables[passes / kParts % tables.size()]->read_all;
    const std::byte* p = buffer.data() + passes % kParts * static_cast<uint64_t>(part);
    pool.parallel_for(part, kGrain,
                      [&](int64_t begin, int64_t end) { read(p + begin, end - begin); });
    ++passes;
  });
  return static_cast<double>(part) / best;
}

Probe probe(const KernelTable& kernels, ThreadPool& pool, double seconds) {
  return {.kernels = kernels.name,
          .threads = pool.threads(),
          .read_bandwidth = probe_bandwidth(pool, seconds * 0.6, kAtMost),
          .int8_peak = int8_peak(kernels, pool, seconds * 0.3)};
}

}  // namespace st
