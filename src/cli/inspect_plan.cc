#include "cli/inspect_plan.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "base/path.h"
#include "cli/model_args.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "io/probe_disk.h"
#include "study/cache_sim.h"
#include "study/probe.h"

namespace st {
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
             "program, vocabulary, weights that are not experts");
  print_line("scratch", scratch, fmt::format("of prompts, {} tokens at a time", plan.tokens));
  print_line("context", plan.kv_full,
             fmt::format("keys and values of {} tokens, taken as they come", engine.context()));
  print_line("experts", static_cast<uint64_t>(report.slots) * plan.expert,
             fmt::format("{} of {} while there is no text, {} when the context is full",
                         report.slots, plan.experts, full_room));
  print_out("The smallest budget that works is {} MiB, more than {} is of no use.\n\n",
            plan.smallest() >> 20, format_bytes(plan.largest()));

  ThreadPool pool(engine.threads());
  if (!pool.notice().empty()) print_err("note: {}\n", pool.notice());
  const double memory = probe_bandwidth(pool, 1, kProbeMemory);
  const double disk = disk_speed(args.model);
  print_out("This machine reads {:.1f} GB/s from memory{}.\n", memory / 1e9,
            disk > 0 ? fmt::format(" and {:.2f} GB/s from the model's disk", disk / 1e9)
                     : "; the file is too small to tell how fast its disk is");
  const auto& layer = engine.model().weights().experts.front();
  const auto part = [](const MatrixStack& stack) { return static_cast<double>(stack.file_bytes); };
  const double expert = part(layer.gate) + part(layer.up) + part(layer.down);
  const auto uses = static_cast<double>(c.layers * c.experts_used);
  const double touched = static_cast<double>(engine.model().store().bytes() -
                                             engine.model().store().streamed_bytes()) +
                         uses * (part(layer.gate) + kActive * (part(layer.up) + part(layer.down)));
  const RoutingShape shape{.layers = c.layers,
                           .experts = c.experts,
                           .used = c.experts_used,
                           .gate_bytes = layer.gate.file_bytes,
                           .up_down_bytes = layer.up.file_bytes + layer.down.file_bytes};
  for (const auto& [kind, name] : {std::pair{MadeUpKind::kPublished, "as published"},
                                   std::pair{MadeUpKind::kUniform, "uniform, the worst case"}}) {
    const double found = found_share(shape, kind, report.slots);
    const double read = (1 - found) * uses * expert;
    const double seconds = touched / (kReached * memory) + read / disk;
    print_out("Routing {}: {:.0f} % of the experts found in memory, {} read per token{}.\n", name,
              100 * found, format_bytes(static_cast<uint64_t>(read)),
              disk > 0 ? fmt::format(", about {:.1f} tokens/s", 1 / seconds) : "");
  }
  return kExitOk;
}

}  // namespace st
