#include "base/topology.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "base/system_file.h"

namespace st {
namespace {

struct ArmPart {
  uint32_t implementer, part;
  const char* name;
  bool little;  // in-order, or sold as the efficient one
};
constexpr ArmPart kArmParts[] = {
    {0x41, 0xd03, "Cortex-A53", true},      {0x41, 0xd04, "Cortex-A35", true},
    {0x41, 0xd05, "Cortex-A55", true},      {0x41, 0xd07, "Cortex-A57", false},
    {0x41, 0xd08, "Cortex-A72", false},     {0x41, 0xd09, "Cortex-A73", false},
    {0x41, 0xd0a, "Cortex-A75", false},     {0x41, 0xd0b, "Cortex-A76", false},
    {0x41, 0xd0c, "Neoverse-N1", false},    {0x41, 0xd0d, "Cortex-A77", false},
    {0x41, 0xd0e, "Cortex-A76AE", false},   {0x41, 0xd40, "Neoverse-V1", false},
    {0x41, 0xd41, "Cortex-A78", false},     {0x41, 0xd44, "Cortex-X1", false},
    {0x41, 0xd46, "Cortex-A510", true},     {0x41, 0xd47, "Cortex-A710", false},
    {0x41, 0xd48, "Cortex-X2", false},      {0x41, 0xd49, "Neoverse-N2", false},
    {0x41, 0xd4d, "Cortex-A715", false},    {0x41, 0xd4e, "Cortex-X3", false},
    {0x41, 0xd4f, "Neoverse-V2", false},    {0x41, 0xd80, "Cortex-A520", true},
    {0x41, 0xd81, "Cortex-A720", false},    {0x41, 0xd82, "Cortex-X4", false},
    {0x41, 0xd85, "Cortex-X925", false},    {0x41, 0xd87, "Cortex-A725", false},
    {0x51, 0x001, "Oryon", false},          {0x51, 0x800, "Kryo 2xx Gold", false},
    {0x51, 0x801, "Kryo 2xx Silver", true}, {0x51, 0x802, "Kryo 3xx Gold", false},
    {0x51, 0x803, "Kryo 3xx Silver", true}, {0x51, 0x804, "Kryo 4xx Gold", false},
    {0x51, 0x805, "Kryo 4xx Silver", true},
};

// 0 if the file holds no number in [low, high].
uint64_t number_in(const std::string& path, uint64_t low, uint64_t high) {
  const uint64_t value = parse_unsigned(read_system_file(path)).value_or(0);
  return value >= low && value <= high ? value : 0;
}

// What the CPU says of itself: MIDR_EL1, implementer in bits 24-31, part in bits 4-15.
void read_arm_type(const std::string& folder, Cpu& cpu) {
  const auto midr = parse_unsigned(read_system_file(folder + "/regs/identification/midr_el1"));
  if (!midr || *midr == 0) return;
  const auto implementer = static_cast<uint32_t>(*midr >> 24 & 0xff);
  const auto part = static_cast<uint32_t>(*midr >> 4 & 0xfff);
  for (const ArmPart& known : kArmParts) {
    if (known.implementer != implementer || known.part != part) continue;
    cpu.type = known.name;
    cpu.little = known.little;
    return;
  }
  cpu.type = fmt::format("Arm part {:#x}:{:#x}", implementer, part);
}

// The CPU whose number stands for the core. No core has more than 8 threads: a longer list is a
// hypervisor's, and would make one core of a whole machine.
int read_core(const std::string& folder, int id) {
  constexpr size_t kMostSiblings = 8;
  for (const char* name : {"/topology/core_cpus_list", "/topology/thread_siblings_list"}) {
    const std::vector<int> siblings = parse_cpu_list(read_system_file(folder + name));
    if (siblings.size() > kMostSiblings || std::ranges::count(siblings, id) == 0) continue;
    return siblings.front();
  }
  return id;
}

std::vector<int> online_cpus(const std::string& folder) {
  for (const char* name : {"/online", "/present", "/possible"}) {
    std::vector<int> cpus = parse_cpu_list(read_system_file(folder + name));
    if (!cpus.empty()) return cpus;
  }
  return {};
}

// Intel's hybrid CPUs have a performance counter unit for each type, and those list their CPUs.
void read_intel_types(const std::string& root, std::vector<Cpu>& cpus) {
  constexpr std::array<std::pair<const char*, const char*>, 3> kUnits{
      {{"cpu_core", "P-core"}, {"cpu_atom", "E-core"}, {"cpu_lowpower", "LP E-core"}}};
  for (const auto& [unit, type] : kUnits) {
    const std::string list = read_system_file(root + "/sys/devices/" + unit + "/cpus");
    for (const int id : parse_cpu_list(list)) {
      const auto cpu = std::ranges::find(cpus, id, &Cpu::id);
      if (cpu == cpus.end()) continue;
      cpu->type = type;
      cpu->little = unit != kUnits[0].first;
    }
  }
}

std::string read_model(const std::string& root) {
  const std::string text = read_system_file(root + "/proc/cpuinfo");
  const size_t at = text.find("model name");
  const size_t begin = at == text.npos ? at : text.find(": ", at);
  if (begin != text.npos) return text.substr(begin + 2, text.find('\n', begin) - begin - 2);
  return read_system_file(root + "/proc/device-tree/model");
}

}  // namespace

Topology read_topology(const std::string& root) {
  Topology topology{.model = read_model(root), .cpus = {}};
  const std::string all = root + "/sys/devices/system/cpu";
  for (const int id : online_cpus(all)) {
    const std::string folder = all + "/cpu" + std::to_string(id);
    Cpu cpu{.id = id, .core = read_core(folder, id), .type = {}};
    read_arm_type(folder, cpu);
    cpu.capacity = number_in(folder + "/cpu_capacity", 1, 1024);
    cpu.max_khz = number_in(folder + "/cpufreq/cpuinfo_max_freq", 100'000, 20'000'000);
    topology.cpus.push_back(std::move(cpu));
  }
  read_intel_types(root, topology.cpus);
  return topology;
}

// The type comes first, as it says most: a Cortex-A55 at 1.8 GHz does a third of the work of a
// Cortex-A76 at 2.4 GHz. Where types are unknown the capacity tells as much, the clock at least
// something. Half is a wide gap on purpose: the second clusters of phones (three quarters of the
// first) and cores that boost higher than their equals are all big.
std::vector<Cpu> big_cpus(std::span<const Cpu> cpus) {
  const auto known = [&](uint64_t Cpu::* speed) {
    return std::ranges::all_of(cpus, [&](const Cpu& cpu) { return cpu.*speed > 0; });
  };
  const auto speed = known(&Cpu::capacity) ? &Cpu::capacity : &Cpu::max_khz;
  uint64_t fastest = 0;
  if (known(speed)) {
    for (const Cpu& cpu : cpus) fastest = std::max(fastest, cpu.*speed);
  }
  const bool mixed = std::ranges::any_of(cpus, [](const Cpu& cpu) { return !cpu.little; });
  std::vector<Cpu> big;
  for (const Cpu& cpu : cpus) {
    if (!(cpu.little && mixed) && cpu.*speed * 2 >= fastest) big.push_back(cpu);
  }
  return big;
}

int count_cores(std::span<const Cpu> cpus) {
  std::set<int> cores;
  for (const Cpu& cpu : cpus) cores.insert(cpu.core);
  return static_cast<int>(cores.size());
}

}  // namespace st
