// Which cores this machine has: which CPUs share one, and which are big or little (P and E, on
// Intel).
//
// Read from /sys, and not by hwloc: Debian's libhwloc.a needs libudev, of which there is no static
// library, and dlopen; neither goes into the one static binary for phones and boards. What we want
// of it is the few files below. Any of them may be missing (containers, Android, old kernels, qemu)
// or nonsense (some hypervisors); then a CPU counts as a core like any other.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace st {

struct Cpu {
  int id = 0;
  int core = 0;           // the lowest id among the CPUs that share this one's core
  std::string type;       // "Cortex-A76", "P-core"; empty: unknown
  bool little = false;    // by its type: made to save power
  uint64_t capacity = 0;  // the kernel's idea of its speed, 1024 being the fastest; 0: unknown
  uint64_t max_khz = 0;   // 0: unknown
};

struct Topology {
  std::string model;      // "AMD EPYC", "Raspberry Pi 5 Model B Rev 1.0"; empty: unknown
  std::vector<Cpu> cpus;  // those that are on, by id; empty: unknown
};

// `root` is for tests: a folder that stands in for "/".
Topology read_topology(const std::string& root = {});

// Those of `cpus` that are worth waiting for, if work is split among them: all but the little ones
// and those not half as fast as the fastest.
std::vector<Cpu> big_cpus(std::span<const Cpu> cpus);

int count_cores(std::span<const Cpu> cpus);

}  // namespace st
