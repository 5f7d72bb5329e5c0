// The small texts in which Linux describes itself, in /proc and /sys. They may be missing,
// forbidden or nonsense on any given machine, so nothing here fails: what cannot be read is empty.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace st {

// What the file says, without spaces and newlines at the end; at most 1 MiB of it.
std::string read_system_file(const std::string& path);

// A whole text that is one unsigned number, decimal or 0x hexadecimal.
std::optional<uint64_t> parse_unsigned(std::string_view text);

// "0-3,5" -> {0, 1, 2, 3, 5}, ascending; empty if any of it is not a list of CPUs.
std::vector<int> parse_cpu_list(std::string_view text);
std::string format_cpu_list(std::span<const int> cpus);  // and back, from an ascending list

// Memory of the machine in bytes, as the kernel counts it; 0: unknown.
struct MachineMemory {
  uint64_t total = 0;
  uint64_t available = 0;  // could be allocated without anybody having to swap
  uint64_t swap = 0;
};
MachineMemory read_machine_memory(const std::string& root = {});

}  // namespace st
