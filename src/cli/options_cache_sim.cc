#include <charconv>

#include "cli/options_parts.h"

namespace st {
namespace {

// "1GiB" or "30%".
std::string read_budget(const std::string& text, std::vector<CacheBudget>& budgets) {
  CacheBudget budget;
  if (text.ends_with('%')) {
    const std::string_view digits = std::string_view(text).substr(0, text.size() - 1);
    int percent = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), percent);
    if (error != std::errc() || end != digits.data() + digits.size() || percent < 1 ||
        percent > 100) {
      return "want 1% to 100% of all experts";
    }
    budget.share = percent / 100.0;
  } else {
    const std::string wrong = read_size(text, budget.bytes);
    if (!wrong.empty()) return wrong + ", or a share of all experts such as 30%";
  }
  budgets.push_back(budget);
  return {};
}

std::string read_policy(const std::string& text, std::vector<SimPolicy>& policies) {
  if (const auto policy = parse_sim_policy(text)) {
    policies.push_back(*policy);
    return {};
  }
  std::string names;
  for (const SimPolicy policy : all_sim_policies()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", sim_policy_name(policy));
  }
  return "want " + names;
}

// An option that takes values separated by commas, and may be repeated.
template <typename Read>
CLI::Option* add_values(CLI::App& app, const std::string& name, const std::string& help,
                        Read read) {
  return app
      .add_option_function<std::vector<std::string>>(
          name,
          [name, read](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              const std::string wrong = read(text);
              if (!wrong.empty()) refuse_value(name, text, wrong);
            }
          },
          help)
      ->delimiter(',')
      ->allow_extra_args(false);
}

}  // namespace

CLI::App* add_cache_sim(CLI::App& app, CacheSimArgs& args) {
  CLI::App* sim =
      app.add_subcommand("cache-sim", "how often experts would be in memory, from a recorded run");
  args.shape = *released_shape("4b");
  CLI::Option* trace =
      sim->add_option("trace", args.trace, "file of --record-routing")->type_name("TRACE");
  CLI::Option* made_up = add_checked(
      *sim, "--made-up",
      "instead of a trace: uniform, published, drifting or sticky routing (docs/memory.md)",
      [&args](const std::string& text) -> std::string {
        args.made_up = parse_made_up_kind(text);
        return args.made_up ? "" : "want uniform, published, drifting or sticky";
      });
  made_up->excludes(trace);
  add_checked(*sim, "--shape", "of what is made up: 4b or 21b (default: 4b)",
              [&args](const std::string& text) -> std::string {
                const auto shape = released_shape(text);
                if (shape) args.shape = *shape;
                return shape ? "" : "want 4b or 21b";
              });
  add_whole(*sim, "--tokens", "to make up", 1, 1 << 20, args.tokens);
  add_whole(*sim, "-s,--seed", "of what is made up", 0, INT64_MAX, args.seed);
  add_values(*sim, "--memory",
             "for experts: sizes (1GiB) or shares of all experts (30%), each simulated",
             [&args](const std::string& text) { return read_budget(text, args.memory); })
      ->required()
      ->type_name("SIZE");
  add_values(*sim, "--policy",
             "blend (ours), lru, lru-layer, slru, lfu, known, belady, belady-bypass (default: all)",
             [&args](const std::string& text) { return read_policy(text, args.policies); })
      ->type_name("NAME");
  sim->add_flag("--by-token", args.by_token,
                "replay every token as a pass of its own, as if it had been generated");
  add_whole(*sim, "--from", "begin at this pass", 0, 1 << 30, args.from);
  add_whole(*sim, "--skip", "do not count the first N tokens", 0, 1 << 30, args.skip);
  sim->add_option("--hot-set", args.hot_set, "blend begins with the experts hottest in this file")
      ->type_name("FILE");
  sim->add_option("--save-hot-set", args.save_hot_set, "write such a file from what blend saw")
      ->type_name("FILE");
  sim->callback([&args] {
    if (args.trace.empty() && !args.made_up) throw CLI::RequiredError("TRACE or --made-up");
  });
  return sim;
}

}  // namespace st
