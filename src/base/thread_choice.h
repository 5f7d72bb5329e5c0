// How many threads to compute with, and on which CPUs.
//
// By default one for each big core this process may use, but no more than its CPU quota pays for:
//  * Threads meet after every step of every layer, so the slowest decides: a thread on a little
//    core costs more than it brings. Decoding waits for memory, and the big cores can drain that
//    alone.
//  * One per core and not per hardware thread (as llama.cpp): both threads of a core share the
//    units that multiply, which one keeps busy, and the same memory bandwidth. A virtual machine
//    that does not tell which of its CPUs share a core has one core per CPU.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/cgroup.h"
#include "base/topology.h"

namespace st {

struct ThreadChoice {
  int threads = 1;
  // More threads than can run at once: then one that waits had better sleep than spin.
  bool crowded = false;
  // Where the threads should stay; empty: wherever the system puts them.
  std::vector<int> cpus;
  std::string reason;  // "one per core, big cores only"
};

// `wanted`: how many the user asked for; 0: the default. `allowed`: the CPUs this process may use,
// ascending; empty: all.
ThreadChoice choose_threads(int wanted, const Topology& topology, std::span<const int> allowed,
                            std::optional<double> quota);

// The same for this process on this machine.
ThreadChoice choose_threads(int wanted = 0);

// The CPUs the calling thread may use, ascending: those its affinity mask and its cpuset have in
// common, as the kernel keeps the mask within the cpuset. Empty: unknown.
std::vector<int> allowed_cpus();

// Keeps the calling thread on these CPUs, if the system lets it.
void stay_on(std::span<const int> cpus);

}  // namespace st
