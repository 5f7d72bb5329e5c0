#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "cli/args.h"
#include "cli/model_args.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "experts/hot_set.h"

namespace st {
namespace {

RoutingTrace load_trace(const CacheSimArgs& args) {
  RoutingTrace all = args.made_up
                         ? make_up_routing(args.shape, *args.made_up, args.tokens, args.seed)
                         : with_context(printable_path(args.trace),
                                        [&] { return read_routing_trace(File(args.trace)); });
  if (args.from == 0) return all;
  if (args.from >= all.passes()) {
    fail(ErrorCode::kInvalidUsage, "--from {}: the trace has {} passes", args.from, all.passes());
  }
  all.drop_first(args.from);
  return all;
}

int64_t slots_of(const CacheBudget& budget, const RoutingShape& shape) {
  const auto all = shape.layers * shape.experts;
  if (budget.share > 0) return static_cast<int64_t>(budget.share * static_cast<double>(all));
  return std::min(all, static_cast<int64_t>(budget.bytes / shape.expert_bytes()));
}

void write_text(const std::string& path, const std::string& text) {
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(text)));
  file.commit();
}

class CacheSim {
 public:
  explicit CacheSim(const CacheSimArgs& args)
      : args_(args), trace_(load_trace(args)), shape_(trace_.shape()) {
    if (!args.hot_set.empty()) {
      const std::string text = read_text_file(args.hot_set, 1 << 26);
      hot_set_ = with_context(printable_path(args.hot_set),
                              [&] { return parse_hot_set(text, shape_.layers, shape_.experts); });
    }
    if (args.skip >= trace_.tokens()) {
      fail(ErrorCode::kInvalidUsage, "--skip {}: the trace has {} tokens", args.skip,
           trace_.tokens());
    }
  }

  int run() {
    print_out(
        "{} layers x {} experts of {}, {} in all; {} experts for a token; {} tokens, {} "
        "passes{}\n\n",
        shape_.layers, shape_.experts, format_bytes(shape_.expert_bytes()),
        format_bytes(shape_.all_bytes()), shape_.used, trace_.tokens(), trace_.passes(),
        args_.by_token ? ", replayed token by token" : "");
    print_out("| {:>9} | {:>7} | {:>5} | {:<13} | {:>10} | {:>9} | {:>13} |\n", "memory", "experts",
              "share", "policy", "hit rate %", "MiB/token", "behind belady");
    print_out("|{:->10}:|{:->8}:|{:->6}:|:{:-<14}|{:->11}:|{:->10}:|{:->14}:|\n", "", "", "", "",
              "", "", "");
    for (const CacheBudget& budget : args_.memory) run_budget(slots_of(budget, shape_));
    if (!args_.save_hot_set.empty()) save_hot_set();
    return kExitOk;
  }

 private:
  SimResult simulate_one(SimPolicy policy, int64_t slots) {
    return simulate(trace_, policy,
                    {.slots = slots,
                     .by_token = args_.by_token,
                     .skip_tokens = args_.skip,
                     .hot_set = hot_set_});
  }

  void run_budget(int64_t slots) {
    const double bound = simulate_one(SimPolicy::kBelady, slots).hit_rate();
    std::span<const SimPolicy> policies = args_.policies;
    if (policies.empty()) policies = all_sim_policies();
    for (const SimPolicy policy : policies) {
      const SimResult result = simulate_one(policy, slots);
      const double megabytes =
          static_cast<double>(result.misses() * shape_.expert_bytes()) / (1 << 20);
      print_out(
          "| {:>9} | {:>7} | {:>4.0f}% | {:<13} | {:>10.1f} | {:>9.2f} | {:>13.1f} |\n",
          format_bytes(static_cast<uint64_t>(slots) * shape_.expert_bytes()), slots,
          100 * static_cast<double>(slots) / static_cast<double>(shape_.layers * shape_.experts),
          sim_policy_name(policy), 100 * result.hit_rate(),
          megabytes / static_cast<double>(result.tokens), 100 * (bound - result.hit_rate()));
    }
    flush_out();
  }

  void save_hot_set() {
    const SimResult result = simulate_one(SimPolicy::kBlend, 0);
    write_text(args_.save_hot_set, format_hot_set(result.rates, shape_.layers, shape_.experts));
  }

  const CacheSimArgs& args_;
  const RoutingTrace trace_;
  const RoutingShape& shape_;
  std::vector<float> hot_set_;
};

}  // namespace

int execute(const CacheSimArgs& args) {
  check_outputs({args.save_hot_set}, {args.trace, args.hot_set});
  return CacheSim(args).run();
}

}  // namespace st
