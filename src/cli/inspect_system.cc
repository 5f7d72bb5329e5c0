#include "cli/inspect_system.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/cgroup.h"
#include "base/cpu.h"
#include "base/error.h"
#include "base/system_file.h"
#include "base/thread_choice.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "kernels/kernels.h"

namespace st {
namespace {

using nlohmann::json;

// Cores that are alike.
struct Kind {
  std::string type;
  bool big = true;
  std::vector<Cpu> cpus;
};

struct System {
  Topology topology = read_topology();
  std::vector<int> allowed = allowed_cpus();
  CgroupCpu cpu_limit = read_cgroup_cpu();
  CgroupMemory memory_limit = read_cgroup_memory();
  MachineMemory memory = read_machine_memory();
  ThreadChoice choice = choose_threads(0, topology, allowed, cpu_limit.cpus);
  std::string features = cpu_feature_names(cpu_features());
  std::vector<std::string_view> kernels;  // that can run here, best first
  std::vector<Kind> kinds;

  System() {
    for (const KernelTable* table : usable_kernels()) kernels.push_back(table->name);
    const std::vector<Cpu> big = big_cpus(topology.cpus);
    for (const Cpu& cpu : topology.cpus) {
      const bool is_big = std::ranges::count(big, cpu.id, &Cpu::id) > 0;
      auto kind = std::ranges::find_if(
          kinds, [&](const Kind& k) { return k.type == cpu.type && k.big == is_big; });
      if (kind == kinds.end())
        kind = kinds.insert(kind, {.type = cpu.type, .big = is_big, .cpus = {}});
      kind->cpus.push_back(cpu);
    }
  }
};

std::vector<int> ids(const std::vector<Cpu>& cpus) {
  std::vector<int> out;
  for (const Cpu& cpu : cpus) out.push_back(cpu.id);
  return out;
}

// The largest, as cores of one kind may differ a little.
uint64_t largest(const std::vector<Cpu>& cpus, uint64_t Cpu::* value) {
  uint64_t most = 0;
  for (const Cpu& cpu : cpus) most = std::max(most, cpu.*value);
  return most;
}

std::string describe(const Kind& kind, bool alone) {
  std::string text = fmt::format("{} x {}", count_cores(kind.cpus),
                                 kind.type.empty() ? "core" : printable(kind.type));
  if (const uint64_t khz = largest(kind.cpus, &Cpu::max_khz)) {
    text += fmt::format(", up to {:.2f} GHz", static_cast<double>(khz) / 1e6);
  }
  if (const uint64_t capacity = largest(kind.cpus, &Cpu::capacity); capacity != 0 && !alone) {
    text += fmt::format(", capacity {}", capacity);
  }
  if (!alone) text += kind.big ? ", big" : ", little";
  return text + fmt::format(" (CPUs {})", format_cpu_list(ids(kind.cpus)));
}

std::string describe_memory_limit(const CgroupMemory& memory) {
  std::string text = "none";
  if (memory.limit)
    text = fmt::format("{} by {}", format_bytes(*memory.limit), printable(memory.file));
  if (memory.available) text += fmt::format("; {} left", format_bytes(*memory.available));
  if (memory.used) text += fmt::format("; group uses {}", format_bytes(*memory.used));
  if (memory.peak) text += fmt::format(", peak {}", format_bytes(*memory.peak));
  return text;
}

void print_text(const System& system) {
  const auto line = [](std::string_view name, const std::string& text) {
    print_out("{:<14}{}\n", name, text);
  };
  const auto or_unknown = [](std::string text) { return text.empty() ? "unknown" : text; };
  line("CPU", or_unknown(printable(system.topology.model)));
  line("features", system.features);
  line("kernels",
       fmt::format("{} (usable: {})", pick_kernels().name, fmt::join(system.kernels, ", ")));
  if (system.kinds.empty()) line("cores", "unknown");
  for (const Kind& kind : system.kinds) {
    line(&kind == &system.kinds.front() ? "cores" : "", describe(kind, system.kinds.size() == 1));
  }
  line("CPUs allowed", or_unknown(format_cpu_list(system.allowed)));
  line("CPU quota", system.cpu_limit.cpus ? fmt::format("{:.2f} CPUs by {}", *system.cpu_limit.cpus,
                                                        printable(system.cpu_limit.file))
                                          : "none");
  line("memory", system.memory.total == 0
                     ? "unknown"
                     : fmt::format("{}, {} available", format_bytes(system.memory.total),
                                   format_bytes(system.memory.available)));
  line("memory limit", describe_memory_limit(system.memory_limit));
  std::string threads = fmt::format("{}: {}", system.choice.threads, system.choice.reason);
  if (!system.choice.cpus.empty()) {
    threads += fmt::format("; kept on CPUs {}", format_cpu_list(system.choice.cpus));
  }
  line("threads", threads);
}

template <typename T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json();
}

void print_json(const System& system) {
  json kinds = json::array();
  for (const Kind& kind : system.kinds) {
    kinds.push_back({{"type", kind.type},
                     {"big", kind.big},
                     {"cores", count_cores(kind.cpus)},
                     {"cpus", ids(kind.cpus)},
                     {"capacity", largest(kind.cpus, &Cpu::capacity)},
                     {"max_khz", largest(kind.cpus, &Cpu::max_khz)}});
  }
  const CgroupMemory& limit = system.memory_limit;
  const json out = {
      {"cpu", system.topology.model},
      {"features", system.features},
      {"kernels", pick_kernels().name},
      {"usable_kernels", system.kernels},
      {"cores", kinds},
      {"allowed_cpus", system.allowed},
      {"cpu_quota", or_null(system.cpu_limit.cpus)},
      {"cpu_quota_file", system.cpu_limit.file},
      {"memory_total", system.memory.total},
      {"memory_available", system.memory.available},
      {"cgroup_memory",
       {{"limit", or_null(limit.limit)},
        {"limit_file", limit.file},
        {"available", or_null(limit.available)},
        {"used", or_null(limit.used)},
        {"peak", or_null(limit.peak)}}},
      {"threads", system.choice.threads},
      {"threads_reason", system.choice.reason},
      {"threads_cpus", system.choice.cpus},
  };
  print_out("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
}

}  // namespace

int inspect_system(const InspectArgs& args) {
  const System system;
  args.json ? print_json(system) : print_text(system);
  return kExitOk;
}

}  // namespace st
