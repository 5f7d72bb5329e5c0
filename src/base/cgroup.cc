#include "base/cgroup.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/system_file.h"

namespace st {
namespace {

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(by));
    parts.push_back(part);
    text.remove_prefix(std::min(text.size(), part.size() + 1));
  }
  return parts;
}

bool contains(std::string_view list, std::string_view name) {
  return std::ranges::count(split(list, ','), name) > 0;
}

// Blanks in the paths of mountinfo are written \040 and the like.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t at) {
      return at < text.size() && text[at] >= '0' && text[at] <= '7' ? text[at] - '0' : -1;
    };
    if (text[i] == '\\' && digit(i + 1) >= 0 && digit(i + 2) >= 0 && digit(i + 3) >= 0) {
      out += static_cast<char>(digit(i + 1) * 64 + digit(i + 2) * 8 + digit(i + 3));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Path of this process's group as the kernel names it, in the hierarchy of a v1 controller, or in
// that of v2 if `controller` is empty. Lines are "4:memory:/a/b", or "0::/a/b" for v2.
std::optional<std::string> group_name(const std::string& root, std::string_view controller) {
  const std::string text = read_system_file(root + "/proc/self/cgroup");
  for (const std::string_view line : split(text, '\n')) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first == line.npos ? first : first + 1);
    if (second == line.npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const bool mine =
        controller.empty() ? line.starts_with("0::") : contains(controllers, controller);
    if (mine) return std::string(line.substr(second + 1));
  }
  return std::nullopt;
}

struct Mount {
  std::string root;   // the group that is mounted: not "/" in a container without its own namespace
  std::string point;  // where
};

// Lines are "31 23 0:28 ROOT POINT OPTIONS [more] - TYPE SOURCE OPTIONS".
std::optional<Mount> find_mount(const std::string& root, std::string_view controller) {
  const std::string text = read_system_file(root + "/proc/self/mountinfo");
  for (const std::string_view line : split(text, '\n')) {
    const size_t dash = line.find(" - ");
    if (dash == line.npos) continue;
    const auto left = split(line.substr(0, dash), ' ');
    const auto right = split(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    const bool mine = controller.empty() ? right[0] == "cgroup2"
                                         : right[0] == "cgroup" && contains(right[2], controller);
    if (mine) return Mount{unescape(left[3]), unescape(left[4])};
  }
  return std::nullopt;
}

// Folders of this process's group and its visible ancestors, its own first.
std::vector<std::string> group_folders(const std::string& root, std::string_view controller) {
  const auto name = group_name(root, controller);
  const auto mount = find_mount(root, controller);
  if (!name || !mount) return {};
  // The name counts from the root of the hierarchy, of which the mount may show a part only. If it
  // shows another part ("/../x" is outside of the namespace), its top is the best there is.
  std::string_view below = *name;
  if (mount->root != "/") {
    const bool inside = below == mount->root || below.starts_with(mount->root + "/");
    below.remove_prefix(inside ? mount->root.size() : below.size());
  }
  if (below == "/.." || below.starts_with("/../")) below = {};
  std::vector<std::string> folders;
  while (!below.empty()) {
    if (below != "/") folders.push_back(root + mount->point + std::string(below));
    below = below.substr(0, below.rfind('/'));
  }
  folders.push_back(root + mount->point);
  return folders;
}

std::optional<uint64_t> number(const std::string& path) {
  return parse_unsigned(read_system_file(path));
}

// The line "KEY NUMBER" of a memory.stat.
std::optional<uint64_t> stat_number(const std::string& stat, std::string_view key) {
  for (const std::string_view line : split(stat, '\n')) {
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ') {
      return parse_unsigned(line.substr(key.size() + 1));
    }
  }
  return std::nullopt;
}

void lower(CgroupCpu& cpu, std::optional<uint64_t> quota, std::optional<uint64_t> period,
           const std::string& file) {
  if (!quota || !period || *quota == 0 || *period == 0) return;
  const double cpus = static_cast<double>(*quota) / static_cast<double>(*period);
  if (!cpu.cpus || cpus < *cpu.cpus) cpu = {cpus, file};
}

// v1 writes "no limit" as the largest number of pages.
constexpr uint64_t kNoLimit = uint64_t{1} << 60;

void lower(CgroupMemory& memory, std::optional<uint64_t> limit, const std::string& file) {
  if (!limit || *limit >= kNoLimit) return;
  if (!memory.limit || *limit < *memory.limit) {
    memory.limit = limit;
    memory.file = file;
  }
}

// The names of the same things in both versions.
struct MemoryFiles {
  const char* controller;
  const char* limits[2];
  const char* used;
  const char* peak;
  const char* cached[2];  // keys of memory.stat: file pages, whole subtree
};
constexpr MemoryFiles kMemoryFiles[] = {
    // Beyond memory.high nobody is killed, but made to wait so long that nothing gets done.
    {"",
     {"/memory.max", "/memory.high"},
     "/memory.current",
     "/memory.peak",
     {"inactive_file", "active_file"}},
    {"memory",
     {"/memory.limit_in_bytes", nullptr},
     "/memory.usage_in_bytes",
     "/memory.max_usage_in_bytes",
     {"total_inactive_file", "total_active_file"}},
};

void read_memory(const std::string& root, const MemoryFiles& files, CgroupMemory& memory) {
  const std::vector<std::string> folders = group_folders(root, files.controller);
  for (const std::string& folder : folders) {
    const auto used = number(folder + files.used);
    if (&folder == &folders.front()) {
      if (used) memory.used = used;
      if (const auto peak = number(folder + files.peak)) memory.peak = peak;
    }
    const std::string stat = read_system_file(folder + "/memory.stat");
    CgroupMemory own;
    for (const char* file : files.limits) {
      if (file != nullptr) lower(own, number(folder + file), folder + file);
    }
    // v1 also tells the smallest limit of ancestors that a container does not see.
    lower(own, stat_number(stat, "hierarchical_memory_limit"), folder + "/memory.stat");
    if (!own.limit) continue;
    lower(memory, own.limit, own.file);
    const uint64_t cached = stat_number(stat, files.cached[0]).value_or(0) +
                            stat_number(stat, files.cached[1]).value_or(0);
    const uint64_t kept = used.value_or(0) - std::min(cached, used.value_or(0));
    const uint64_t left = *own.limit - std::min(kept, *own.limit);
    memory.available = std::min(left, memory.available.value_or(left));
  }
}

}  // namespace

CgroupCpu read_cgroup_cpu(const std::string& root) {
  CgroupCpu cpu;
  for (const std::string& folder : group_folders(root, "")) {
    const std::string file = folder + "/cpu.max";
    const std::string text = read_system_file(file);  // "QUOTA PERIOD", QUOTA may be "max"
    const auto words = split(text, ' ');
    if (words.size() == 2) lower(cpu, parse_unsigned(words[0]), parse_unsigned(words[1]), file);
  }
  for (const std::string& folder : group_folders(root, "cpu")) {
    const std::string file = folder + "/cpu.cfs_quota_us";  // -1: none
    lower(cpu, number(file), number(folder + "/cpu.cfs_period_us"), file);
  }
  return cpu;
}

CgroupMemory read_cgroup_memory(const std::string& root) {
  CgroupMemory memory;
  for (const MemoryFiles& files : kMemoryFiles) read_memory(root, files, memory);
  return memory;
}

uint64_t available_memory(const std::string& root) {
  const uint64_t machine = read_machine_memory(root).available;
  const uint64_t group = read_cgroup_memory(root).available.value_or(machine);
  return machine == 0 ? group : std::min(machine, group);
}

}  // namespace st
