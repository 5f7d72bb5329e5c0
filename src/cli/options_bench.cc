#include "cli/number_list.h"
#include "cli/options_parts.h"

namespace st {
namespace {

constexpr NumberRange kTokens{0, 1 << 24};
constexpr NumberRange kBatch{1, 1 << 20};

// Calls `read` with the text of each time the option is given; what it throws names the option.
template <typename Read>
CLI::Option* add_repeatable(CLI::App& app, const std::string& names, const std::string& help,
                            Read read) {
  return app
      .add_option_function<std::vector<std::string>>(
          names,
          [name = option_name(names), read](const std::vector<std::string>& texts) {
            try {
              read(texts);
            } catch (const Error& e) {
              throw CLI::ValidationError(name, e.what());
            }
          },
          help)
      ->allow_extra_args(false)
      ->type_name("LIST");
}

CLI::Option* add_numbers(CLI::App& app, const std::string& names, const std::string& help,
                         NumberRange range, std::vector<int64_t>& numbers) {
  return add_repeatable(app, names, help, [range, &numbers](const std::vector<std::string>& texts) {
    numbers.clear();
    for (const std::string& text : texts) {
      const std::vector<int64_t> more = parse_number_list(text, range);
      numbers.insert(numbers.end(), more.begin(), more.end());
    }
  });
}

std::string read_budgets(const std::string& text, std::vector<uint64_t>& budgets) {
  budgets.clear();
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string wrong = read_size(text.substr(begin, end - begin), budgets.emplace_back());
    if (!wrong.empty()) return wrong;
    begin = end + 1;
  }
  return {};
}

}  // namespace

CLI::App* add_bench(CLI::App& app, BenchArgs& args) {
  CLI::App* bench = app.add_subcommand("bench", "how fast a model runs here, as llama-bench does");
  add_model_settings(*bench, args.model);
  add_lm_head(*bench, args.model);
  add_record_routing(*bench, args.model);
  add_numbers(*bench, "-p,--n-prompt", "prompt tokens, each a test (default: 512)", kTokens,
              args.prompt);
  add_numbers(*bench, "-n,--n-gen", "tokens to generate, each a test (default: 128)", kTokens,
              args.generate);
  add_repeatable(*bench, "--pg", "-pg P,N: a prompt of P tokens, then N generated",
                 [&args](const std::vector<std::string>& texts) {
                   for (const std::string& text : texts) {
                     args.prompt_generate.push_back(parse_number_pair(text, {1, 1 << 24}));
                   }
                 })
      ->type_name("P,N");
  add_numbers(*bench, "-d,--n-depth", "tokens already in the context (default: 0)", kTokens,
              args.depth);
  add_numbers(*bench, "-t,--threads",
              "threads (default: one per big core we may use, see 'inspect --system')", {1, 1024},
              args.threads);
  add_whole(*bench, "-b,--batch-size", "prompt tokens per step", 1, 1 << 20, args.options.batch);
  add_numbers(*bench, "--ubatch-size", "-ub: tokens per forward pass (default: 512)", kBatch,
              args.micro_batch);
  add_whole(*bench, "-r,--repetitions", "times each test is run", 1, 10'000,
            args.options.repetitions);
  bench->add_flag("!--no-warmup", args.options.warmup, "no run before the first that counts");
  add_checked(*bench, "-o,--output", "md, csv, json or jsonl (default: md)",
              [&args](const std::string& text) -> std::string {
                const auto format = parse_bench_format(text);
                if (!format) return "want md, csv, json or jsonl";
                args.format = *format;
                return {};
              });
  CLI::Option* no_probe =
      bench->add_flag("!--no-probe", args.probe, "do not measure what the machine could do");
  bench
      ->add_flag("--probe", args.probe_only,
                 "only measure that: read bandwidth and peak of 8-bit multiply-adds")
      ->excludes(no_probe);
  return bench;
}

CLI::App* add_verify(CLI::App& app, VerifyArgs& args) {
  CLI::App* verify = app.add_subcommand(
      "verify",
      "proves that logits do not change with threads, batches, splits of the prompt and memory");
  add_model_settings(*verify, args.model);
  verify->remove_option(verify->get_option("--memory"));  // here a list
  add_checked(*verify, "--memory",
              "budgets of the whole process, each compared with none: 1GiB,2GiB",
              [&args](const std::string& text) { return read_budgets(text, args.memory); })
      ->type_name("LIST");
  add_whole(*verify, "-p,--n-prompt", "tokens to evaluate", 2, 1 << 20, args.tokens);
  verify->add_option("-f,--file", args.file, "the first -p tokens of a text, not random ones")
      ->type_name("FILE");
  add_numbers(*verify, "-t,--threads", "threads (default: 1,2,3,8)", {1, 1024}, args.threads);
  add_numbers(*verify, "--ubatch-size", "-ub: tokens per forward pass (default: 1,7,64,512)",
              kBatch, args.micro_batch);
  return verify;
}

}  // namespace st
