// Options in terms of CLI11, which takes long to compile: options.cc and options_commands.cc are
// the only files that see it.
#pragma once

#include <CLI/CLI.hpp>
#include <cmath>
#include <concepts>
#include <functional>
#include <limits>
#include <memory>

#include "base/error.h"
#include "cli/args.h"
#include "cli/command_docs.h"

namespace st {

// What messages call the option of these names, "-t,--threads": --threads.
std::string option_name(const std::string& names);

// Throws what is wrong with the text of an option.
[[noreturn]] void refuse_value(const std::string& names, const std::string& text,
                               const std::string& wrong);

// An option whose text is checked and stored by `read`, which returns what is wrong.
template <typename Read>
CLI::Option* add_checked(CLI::App& app, const std::string& names, const std::string& help,
                         Read read) {
  return app
      .add_option_function<std::string>(
          names,
          [names, read](const std::string& text) {
            if (const std::string wrong = read(text); !wrong.empty()) {
              refuse_value(names, text, wrong);
            }
          },
          help)
      ->type_name("NAME");
}

// A whole number in decimal digits, nothing else, within a range.
CLI::Option* add_whole(CLI::App& app, const std::string& names, const std::string& help,
                       int64_t min, int64_t max, std::function<void(int64_t)> store);

template <std::integral T>
CLI::Option* add_whole(CLI::App& app, const std::string& names, const std::string& help,
                       int64_t min, int64_t max, T& value) {
  return add_whole(app, names, help, min, max,
                   [&value](int64_t number) { value = static_cast<T>(number); })
      ->default_str(fmt::format("{}", value));
}

// A decimal number within a range that the type of `value` can hold: not so near zero that it would
// become another.
CLI::Option* add_decimal(CLI::App& app, const std::string& names, const std::string& help,
                         double min, double max, double least, std::function<void(double)> store);

template <std::floating_point T>
CLI::Option* add_decimal(CLI::App& app, const std::string& names, const std::string& help,
                         double min, double max, T& value) {
  return add_decimal(app, names, help, min, max, std::numeric_limits<T>::min(),
                     [&value](double number) { value = static_cast<T>(number); })
      ->default_str(fmt::format("{}", value));
}

// What --help looks like.
std::shared_ptr<CLI::Formatter> make_help_formatter();

// What CLI11 knows of a command.
CommandDoc doc_of(const CLI::App& app);

void add_offline(CLI::App& app, bool& offline);

// What several commands have: -m and how to run it, how the head computes logits, how tokens are
// chosen.
void add_model(CLI::App& app, ModelArgs& args);
void add_lm_head(CLI::App& app, ModelArgs& args);
void add_sampling(CLI::App& app, SamplerOptions& sampler);
void add_spec(CLI::App& app, std::shared_ptr<Drafter>& drafter);

// Each defines a command and its options, which fill `args`.
CLI::App* add_chat(CLI::App& app, ChatArgs& args);
CLI::App* add_run(CLI::App& app, RunArgs& args);
CLI::App* add_tokenize(CLI::App& app, TokenizeArgs& args);
CLI::App* add_detokenize(CLI::App& app, DetokenizeArgs& args);
CLI::App* add_template(CLI::App& app, TemplateArgs& args);
CLI::App* add_perplexity(CLI::App& app, PerplexityArgs& args);
CLI::App* add_imatrix(CLI::App& app, ImatrixArgs& args);
CLI::App* add_logits(CLI::App& app, LogitsArgs& args);
CLI::App* add_convert(CLI::App& app, ConvertArgs& args);
CLI::App* add_quantize(CLI::App& app, QuantizeArgs& args);
CLI::App* add_bundle(CLI::App& app, BundleArgs& args);
CLI::App* add_strip(CLI::App& app, StripArgs& args);
CLI::App* add_synth(CLI::App& app, SynthArgs& args);
CLI::App* add_inspect(CLI::App& app, InspectArgs& args);
CLI::App* add_bench(CLI::App& app, BenchArgs& args);
CLI::App* add_verify(CLI::App& app, VerifyArgs& args);
CLI::App* add_cache_sim(CLI::App& app, CacheSimArgs& args);
CLI::App* add_pull(CLI::App& app, PullArgs& args);
CLI::App* add_list(CLI::App& app, ListArgs& args);
CLI::App* add_remove(CLI::App& app, RemoveArgs& args);
CLI::App* add_session(CLI::App& app, SessionArgs& args);

}  // namespace st
