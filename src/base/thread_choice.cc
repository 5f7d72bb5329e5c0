#include "base/thread_choice.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <memory>
#include <thread>

namespace st {
namespace {

struct FreeCpuSet {
  void operator()(cpu_set_t* set) const { CPU_FREE(set); }
};
using CpuSet = std::unique_ptr<cpu_set_t, FreeCpuSet>;

std::vector<Cpu> usable_cpus(const Topology& topology, std::span<const int> allowed) {
  if (allowed.empty()) return topology.cpus;
  std::vector<Cpu> cpus;
  for (const int id : allowed) {
    const auto known = std::ranges::find(topology.cpus, id, &Cpu::id);
    cpus.push_back(known != topology.cpus.end() ? *known : Cpu{.id = id, .core = id, .type = {}});
  }
  return cpus;
}

}  // namespace

ThreadChoice choose_threads(int wanted, const Topology& topology, std::span<const int> allowed,
                            std::optional<double> quota) {
  std::vector<Cpu> usable = usable_cpus(topology, allowed);
  if (usable.empty()) {
    for (int id = 0; id < static_cast<int>(std::thread::hardware_concurrency()); ++id) {
      usable.push_back({.id = id, .core = id, .type = {}});
    }
  }
  if (usable.empty()) usable.emplace_back();
  const std::vector<Cpu> big = big_cpus(usable);
  const int cores = count_cores(big);
  const auto all = static_cast<double>(usable.size());
  const int paid = static_cast<int>(std::ceil(std::clamp(quota.value_or(all), 1.0, all)));

  ThreadChoice choice;
  choice.threads = wanted > 0 ? wanted : std::min(cores, paid);
  choice.crowded = choice.threads > paid;
  if (wanted > 0) {
    choice.reason = "as asked";
  } else {
    choice.reason = "one per core";
    if (big.size() < usable.size()) choice.reason += ", big cores only";
    if (paid < cores) choice.reason += fmt::format(", within the CPU quota of {:.2f}", *quota);
  }
  // The threads of a pool sleep and wake all the time, which to the kernel looks like little load,
  // fit for a little core. So they are kept to the big ones; which of those each runs on the kernel
  // knows best: it sees what else is running, and one CPU per thread would make us wait for it.
  if (big.size() < usable.size() && choice.threads <= static_cast<int>(big.size())) {
    for (const Cpu& cpu : big) choice.cpus.push_back(cpu.id);
  }
  return choice;
}

ThreadChoice choose_threads(int wanted) {
  return choose_threads(wanted, read_topology(), allowed_cpus(), read_cgroup_cpu().cpus);
}

std::vector<int> allowed_cpus() {
  // The kernel refuses a set smaller than its own, which may be larger than cpu_set_t.
  for (int count = 1024; count <= 1 << 16; count *= 2) {
    const CpuSet set(CPU_ALLOC(count));
    const size_t size = CPU_ALLOC_SIZE(count);
    if (!set) return {};
    CPU_ZERO_S(size, set.get());
    if (::sched_getaffinity(0, size, set.get()) != 0) {
      if (errno == EINVAL) continue;
      return {};
    }
    std::vector<int> cpus;
    for (int id = 0; id < count; ++id) {
      if (CPU_ISSET_S(id, size, set.get())) cpus.push_back(id);
    }
    return cpus;
  }
  return {};
}

void stay_on(std::span<const int> cpus) {
  if (cpus.empty()) return;
  const int count = std::ranges::max(cpus) + 1;
  const CpuSet set(CPU_ALLOC(count));
  if (!set) return;
  const size_t size = CPU_ALLOC_SIZE(count);
  CPU_ZERO_S(size, set.get());
  for (const int id : cpus) CPU_SET_S(id, size, set.get());
  ::sched_setaffinity(0, size, set.get());  // refused: then the system decides
}

}  // namespace st
