// What the options*.cc share. They are the only files that see CLI11: it is slow to compile.
#pragma once

#include <CLI/CLI.hpp>

#include "base/error.h"
#include "cli/args.h"

namespace st {

inline constexpr const char* kThreadsHelp =
    "threads (default: one per big core we may use, see 'inspect --system')";

// An option whose text is checked and stored by `read`, which returns what is wrong.
template <typename Read>
CLI::Option* add_checked(CLI::App& app, const std::string& names, const std::string& help,
                         Read read) {
  return app
      .add_option_function<std::string>(
          names,
          [names, read](const std::string& text) {
            if (const std::string wrong = read(text); !wrong.empty()) {
              throw CLI::ValidationError(names.substr(names.rfind(',') + 1),
                                         printable(text) + ": " + wrong);
            }
          },
          help)
      ->type_name("NAME");
}

// --memory, --expert-bundle.
void add_memory(CLI::App& app, ModelArgs& args);
void add_expert_bundle(CLI::App& app, ModelArgs& args);
// -m and how to run it, but for the numbers below. -m is required.
CLI::Option* add_model_settings(CLI::App& app, ModelArgs& args);
// How logits are computed, for commands that only sample from them.
void add_lm_head(CLI::App& app, ModelArgs& args);
// The model settings with -t, -c, -b and -ub.
void add_model(CLI::App& app, ModelArgs& args);

// --record-routing, for commands that run a model for long.
void add_record_routing(CLI::App& app, ModelArgs& args);

CLI::App* add_bundle(CLI::App& app, BundleArgs& args);
CLI::App* add_strip(CLI::App& app, StripArgs& args);
CLI::App* add_bench(CLI::App& app, BenchArgs& args);
CLI::App* add_verify(CLI::App& app, VerifyArgs& args);
CLI::App* add_cache_sim(CLI::App& app, CacheSimArgs& args);

}  // namespace st
