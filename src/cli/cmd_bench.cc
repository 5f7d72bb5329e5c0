#include <fmt/chrono.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/topology.h"
#include "cli/args.h"
#include "cli/interrupt.h"
#include "cli/model_args.h"
#include "cli/report.h"
#include "cli/streams.h"

namespace st {
namespace {

void print(std::string_view text) {
  write_out(text);
  flush_out();
}

std::string now() {
  const auto seconds =
      std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(seconds.time_since_epoch().count()));
}

// llama-bench's order: all prompts, then all generations, then the pairs.
std::vector<BenchTest> tests_at(const BenchArgs& args, int64_t depth) {
  std::vector<BenchTest> tests;
  for (const int64_t n : args.prompt) {
    if (n > 0) tests.push_back({.prompt = n, .depth = depth});
  }
  for (const int64_t n : args.generate) {
    if (n > 0) tests.push_back({.generate = n, .depth = depth});
  }
  for (const auto& [prompt, generate] : args.prompt_generate) {
    tests.push_back({.prompt = prompt, .generate = generate, .depth = depth});
  }
  return tests;
}

Probe probe_with(const BenchArgs& args, int64_t threads) {
  ThreadPool pool(static_cast<int>(threads));
  if (!pool.notice().empty()) print_err("note: {}\n", pool.notice());
  return probe(pick_kernels(args.model.kernels), pool);
}

int probe_only(const BenchArgs& args) {
  std::vector<Probe> probes;
  for (const int64_t threads : args.threads) probes.push_back(probe_with(args, threads));
  print(format_probes(args.format, probes));
  return kExitOk;
}

// Shows on a terminal which run is being waited for.
class Status {
 public:
  explicit Status(bool show) : show_(show && ::isatty(STDERR_FILENO) != 0) {}
  ~Status() { clear(); }
  void show(std::string_view text) const {
    if (show_) print_err("\r\x1b[K{}", text);
  }
  void clear() const { show(""); }

 private:
  bool show_;
};

class Bench {
 public:
  explicit Bench(const BenchArgs& args)
      : args_(args),
        table_(args.format, {.batch = args.options.batch != 2048,
                             .micro_batch = args.micro_batch != std::vector<int64_t>{512},
                             .cache_type = args.model.cache_type.has_value(),
                             .memory = args.model.memory > 0}),
        status_(args.model.progress) {
    for (const int64_t depth : args.depth) {
      for (const BenchTest& test : tests_at(args, depth)) {
        longest_ = std::max(longest_, test.context());
      }
    }
    if (longest_ == 0) fail(ErrorCode::kInvalidUsage, "bench: nothing to do; see -p, -n and -pg");
    check_model_file(args.model.model);  // sooner than after the probe
    row_.cpu = read_topology().model;
    row_.version = ST_VERSION;
    row_.batch = args.options.batch;
  }

  int run() {
    for (const int64_t threads : args_.threads) run_threads(threads);
    recording_.finish();
    print(table_.foot());
    return kExitOk;
  }

 private:
  // The number of threads is fixed when an engine is made, so each gets its own.
  void run_threads(int64_t threads) {
    bool fresh_peak = true;
    if (args_.probe) {
      status_.show("measuring the machine");
      row_.probe = probe_with(args_, threads);
      status_.clear();
    }
    fresh_peak = reset_peak_memory() || !args_.probe;
    ModelArgs model = args_.model;
    model.threads = static_cast<int>(threads);
    model.context = longest_;
    model.micro_batch = *std::ranges::max_element(args_.micro_batch);
    model.progress = args_.model.progress && ::isatty(STDERR_FILENO) != 0;
    const auto start = Clock::now();
    Engine engine = load_engine(model, std::exchange(first_load_, false));
    row_.load_seconds = seconds_since(start);
    recording_.attach(engine);
    row_.model = describe_model(engine, args_.model.model);
    row_.kernels = engine.kernels();
    row_.memory = engine.memory() ? engine.memory()->plan.budget : 0;
    row_.threads = engine.threads();
    row_.cache_type = engine.cache_type();
    for (const int64_t depth : args_.depth) {
      for (const int64_t micro_batch : args_.micro_batch) {
        for (const BenchTest& test : tests_at(args_, depth)) {
          run_test(engine, test, micro_batch);
          row_.peak_memory = fresh_peak ? peak_memory_bytes() : 0;
          print(table_.row(row_));
        }
      }
    }
  }

  void run_test(Engine& engine, const BenchTest& test, int64_t micro_batch) {
    row_.time = now();
    row_.micro_batch = micro_batch;
    BenchOptions options = args_.options;
    options.micro_batch = micro_batch;
    const auto show = [&](int repetition) {
      status_.show(repetition < 0 ? fmt::format("{}: warm-up", test.name())
                                  : fmt::format("{}: {} of {}", test.name(), repetition + 1,
                                                options.repetitions));
    };
    const GracefulStop graceful;
    row_.result = run_bench(engine, test, options, show, interrupt_stop());
    status_.clear();
  }

  const BenchArgs& args_;
  BenchTable table_;
  Status status_;
  RoutingRecording recording_{args_.model.record_routing};
  int64_t longest_ = 0;
  bool first_load_ = true;
  BenchRow row_;
};

}  // namespace

int execute(const BenchArgs& args) {
  check_model_outputs(args.model);
  return args.probe_only ? probe_only(args) : Bench(args).run();
}

}  // namespace st
