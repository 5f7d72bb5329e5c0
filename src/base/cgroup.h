// What control groups (containers, systemd slices, batch systems) grant this process, in cgroup v1,
// v2 or both at once. A group is bound by its ancestors too, so every group on the path counts.
//
// Nothing here fails: what cannot be read sets no limit. `root` is for tests: a folder that stands
// in for "/".
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace st {

struct CgroupCpu {
  std::optional<double> cpus;  // CPU time per time: the smallest quota on the path
  std::string file;            // that says so
};
CgroupCpu read_cgroup_cpu(const std::string& root = {});

// In bytes. What the page cache holds of files counts as used by the group that read them, but the
// kernel gives it back when the group needs memory.
struct CgroupMemory {
  std::optional<uint64_t> limit;  // the smallest on the path: beyond, the process is killed
  std::string file;               // that says so
  std::optional<uint64_t> used;   // by this process's own group, page cache included
  std::optional<uint64_t> peak;   // of the same, since the group was made
  std::optional<uint64_t>
      available;  // before any group on the path is at its limit; empty: no limit
};
CgroupMemory read_cgroup_memory(const std::string& root = {});

// Bytes this process could allocate without anybody having to swap or being killed: of the machine
// or of the groups, whichever is less. 0: unknown.
uint64_t available_memory(const std::string& root = {});

}  // namespace st
