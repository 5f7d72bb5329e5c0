// inspect --system: the machine as we see it, and what follows from that. inspect --plan: how a
// memory budget would be divided on it, and what to expect.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/cgroup.h"
#include "base/cpu.h"
#include "base/error.h"
#include "base/system_file.h"
#include "base/thread_choice.h"
#include "cli/args.h"
#include "cli/model_args.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "experts/layer_order.h"
#include "io/probe_disk.h"
#include "kernels/kernels.h"
#include "study/cache_sim.h"
#include "study/probe.h"

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

namespace {

// What the technical report tells of the neurons: so many of a chosen expert are active.
constexpr double kActive = 0.35;
// Of the read bandwidth, what decoding reaches on the machines it was measured on.
constexpr double kReached = 0.5;
constexpr uint64_t kProbeMemory = uint64_t{256} << 20;  // more than caches hold

double found_share(const RoutingShape& shape, MadeUpKind kind, int64_t room) {
  constexpr int64_t kTokens = 1200, kSkip = 300;
  const RoutingTrace trace = make_up_routing(shape, kind, kTokens, 1);
  return simulate(trace, SimPolicy::kBlend, {.slots = room, .skip_tokens = kSkip}).hit_rate();
}

// Bytes per second; 0 if the file is too small to tell.
double disk_speed(const std::string& path) {
  const DiskProbe probe;
  if (std::filesystem::file_size(path) < probe.piece_bytes) return 0;
  return probe_disk(path, probe).bytes_per_second();
}

// Bytes of weights that a token needs.
struct PerToken {
  double ffn = 0;      // of feed-forward networks
  double touched = 0;  // read from memory, of all weights
};

// Of neurons; gates are cut as if they were normally distributed.
double active_share(const Ffn& ffn) {
  if (ffn.cuts()) return std::erfc(double{ffn.cutoff} / std::sqrt(2.0)) / 2;
  return ffn.skips() ? kActive : 1;
}

PerToken per_token(const Engine& engine) {
  const ModelConfig& c = engine.config();
  const WeightStore& store = engine.model().store();
  PerToken token{.touched = static_cast<double>(store.bytes() - store.streamed_bytes())};
  for (int64_t l = 0; l < c.layers; ++l) {
    const Ffn& ffn = c.ffn(l);
    const ExpertLayer& layer = engine.model().weights().experts[static_cast<size_t>(l)];
    const auto used = static_cast<double>(ffn.used);
    const auto gate = static_cast<double>(layer.gate.file.bytes);
    const auto rest = static_cast<double>(layer.up.file.bytes + layer.down.file.bytes);
    token.ffn += used * (gate + rest);
    token.touched += used * (gate + active_share(ffn) * rest);
  }
  return token;
}

void print_line(std::string_view what, uint64_t bytes, std::string_view remark) {
  print_out("  {:<12} {:>10}  {}\n", what, format_bytes(bytes), remark);
}

}  // namespace

int inspect_plan(const InspectArgs& args) {
  if (args.settings.memory == 0) {
    fail(ErrorCode::kInvalidUsage, "--plan: say how much: --memory SIZE");
  }
  ModelArgs settings = args.settings;
  settings.model = args.model;
  settings.progress = false;
  const Engine engine = load_engine(settings);
  const MemoryReport report = *engine.memory();
  const MemoryPlan& plan = report.plan;
  const ModelConfig& c = engine.config();

  const uint64_t scratch =
      plan.threads + plan.logits + static_cast<uint64_t>(plan.tokens) * plan.per_token;
  const int64_t full_room = plan.room(plan.kv_full, plan.tokens);
  print_out("{} for {}:\n", format_bytes(plan.budget), printable_path(args.model));
  print_line("stays", plan.resident + MemoryPlan::kSpare,
             fmt::format("program, vocabulary, weights that are not {}",
                         c.has_experts() ? "experts" : "feed-forward networks"));
  print_line("scratch", scratch, fmt::format("of prompts, {} tokens at a time", plan.tokens));
  print_line("context", plan.kv_full,
             fmt::format("keys and values of {} tokens, taken as they come", engine.context()));
  print_line(plan.units, static_cast<uint64_t>(report.slots) * plan.expert,
             fmt::format("{} of {} while there is no text, {} when the context is full",
                         report.slots, plan.experts, full_room));
  print_out(
      "The smallest budget that works is {} MiB ({} in this run), more than {} MiB is of no "
      "use.\n\n",
      plan.smallest() >> 20, plan.smallest_here() >> 20, plan.largest() >> 20);

  ThreadPool pool(engine.threads());
  if (!pool.notice().empty()) print_err("note: {}\n", pool.notice());
  const double memory = probe_bandwidth(pool, 1, kProbeMemory);
  const double disk = disk_speed(args.model);
  print_out("This machine reads {:.1f} GB/s from memory{}.\n", memory / 1e9,
            disk > 0 ? fmt::format(" and {:.2f} GB/s from the model's disk", disk / 1e9)
                     : "; the file is too small to tell how fast its disk is");
  const PerToken token = per_token(engine);
  const auto tell = [&](std::string_view when, double found) {
    const double read = (1 - found) * token.ffn;
    const double compute = token.touched / (kReached * memory);
    // Layers of a dense model are read while others are computed.
    const double seconds = c.has_experts() ? compute + read / disk : std::max(compute, read / disk);
    print_out("{}: {:.0f} % of the {} found in memory, {} read per token{}.\n", when, 100 * found,
              plan.units, format_bytes(static_cast<uint64_t>(read)),
              disk > 0 ? fmt::format(", about {:.1f} tokens/s", 1 / seconds) : "");
  };
  if (c.all_route_alike()) {
    const RoutingShape shape = routing_shape(engine);
    tell("Routing as published", found_share(shape, MadeUpKind::kPublished, report.slots));
    tell("Routing uniform, the worst case", found_share(shape, MadeUpKind::kUniform, report.slots));
  } else {
    const auto stay = layers_that_stay(plan.experts, report.slots);
    tell("Decoding",
         static_cast<double>(std::ranges::count(stay, true)) / static_cast<double>(plan.experts));
  }
  return kExitOk;
}

}  // namespace st
