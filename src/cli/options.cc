#include "cli/options.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"
#include "base/units.h"
#include "cli/options_parts.h"

#ifndef ST_VERSION
#define ST_VERSION "unknown"
#endif

namespace st {
namespace {

// llama.cpp has long options with one dash, which no option parser understands.
std::string normalise(const std::string& argument) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kLong{{
      {"-no-cnv", "--no-cnv"},
      {"-ub", "--ubatch-size"},
      {"-pg", "--pg"},
      {"-ctk", "--cache-type-k"},
      {"-ctv", "--cache-type-v"},
      {"-lv", "--verbosity"},
      {"-cnv", "--conversation"},
  }};
  for (const auto& [from, to] : kLong) {
    if (argument == from) return std::string(to);
  }
  return argument;
}

void add_text(CLI::App& app, TextArgs& args) {
  auto* prompt = app.add_option_function<std::string>(
      "-p,--prompt", [&args](const std::string& text) { args.prompt = text; }, "the text");
  prompt->type_name("TEXT");
  app.add_option("-f,--file", args.file, "read the text from a file")
      ->type_name("FILE")
      ->excludes(prompt);
  app.add_flag(
      "-e,--escape,!--no-escape", args.escape,
      "understand \\n, \\t, \\\\, \\\", \\xHH in -p (default; --no-escape: take it literally)");
}

void add_sampling(CLI::App& app, SamplerOptions& s) {
  app.add_option_function<int64_t>(
         "-s,--seed", [&s](int64_t seed) { s.seed = static_cast<uint32_t>(seed); },
         "seed of the sampler (default: random)")
      ->check(CLI::Range(int64_t{-1}, int64_t{0xFFFFFFFF}))
      ->type_name("N");
  app.add_option("--temp,--temperature", s.temperature,
                 "temperature; 0: always the likeliest token")
      ->check(CLI::Range(-1e6, 1e6))
      ->capture_default_str();
  app.add_option("--top-k", s.top_k, "keep the k likeliest tokens; 0: off")
      ->check(CLI::Range(-1, 1 << 24))
      ->capture_default_str();
  app.add_option("--top-p", s.top_p, "keep tokens up to this cumulative probability; 1: off")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--min-p", s.min_p, "drop tokens this much less likely than the best; 0: off")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--typical,--typical-p", s.typical_p, "locally typical sampling; 1: off")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--repeat-last-n", s.repeat_last_n,
                 "tokens the penalties look at; 0: off, -1: all")
      ->check(CLI::Range(-1, 1 << 27))
      ->capture_default_str();
  app.add_option("--repeat-penalty", s.repeat_penalty, "divide logits of seen tokens; 1: off")
      ->check(CLI::Range(1e-3, 1e3))
      ->capture_default_str();
  app.add_option("--frequency-penalty", s.frequency_penalty, "subtract per occurrence; 0: off")
      ->check(CLI::Range(-1e3, 1e3))
      ->capture_default_str();
  app.add_option("--presence-penalty", s.presence_penalty, "subtract once if seen; 0: off")
      ->check(CLI::Range(-1e3, 1e3))
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--samplers", [&s](const std::string& text) { s.chain = parse_samplers(text); },
         "filters in order, e.g. \"temperature;top_k;top_p\"")
      ->type_name("LIST");
}

std::string read_memory_change(const std::string& text, std::vector<MemoryChange>& changes) {
  const size_t colon = text.find(':');
  int64_t tokens = 0;
  const char* end = text.data() + std::min(colon, text.size());
  const auto [rest, error] = std::from_chars(text.data(), end, tokens);
  const auto bytes =
      colon == std::string::npos ? std::nullopt : parse_bytes(text.substr(colon + 1));
  if (error != std::errc() || rest != end || tokens < 1 || !bytes || *bytes == 0) {
    return "want TOKENS:SIZE, such as 64:700MiB";
  }
  if (!changes.empty() && changes.back().tokens >= tokens) return "want ascending tokens";
  changes.push_back({tokens, *bytes});
  return {};
}

CLI::App* add_run(CLI::App& app, RunArgs& args) {
  CLI::App* run = app.add_subcommand("run", "generate text from a prompt");
  add_model(*run, args.model);
  add_lm_head(*run, args.model);
  add_record_routing(*run, args.model);
  add_text(*run, args.text);
  run->add_option("-n,--predict,--n-predict", args.generate.max_tokens,
                  "tokens to generate; -1: until the model ends")
      ->check(CLI::Range(-1, 1 << 27))
      ->capture_default_str();
  add_sampling(*run, args.generate.sampler);
  run->add_option_function<std::vector<std::string>>(
         "--memory-change",
         [&args](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) {
             const std::string wrong = read_memory_change(text, args.memory_changes);
             if (!wrong.empty()) {
               throw CLI::ValidationError("--memory-change", printable(text) + ": " + wrong);
             }
           }
         },
         "TOKENS:SIZE: another budget once so many tokens are generated; may be repeated")
      ->type_name("CHANGE");
  run->add_flag("--ignore-eos", args.generate.ignore_eos, "never end by itself");
  run->add_flag("!--no-display-prompt", args.display_prompt, "print only what is generated");
  // Text completion is what `run` does; the flag is understood so that commands can be pasted.
  const std::string plain = "-no-cnv: plain completion (always so)";
  run->add_flag("--no-cnv,--no-conversation", plain);
  return run;
}

CLI::App* add_convert(CLI::App& app, ConvertArgs& args) {
  ConvertOptions& o = args.options;
  CLI::App* convert = app.add_subcommand("convert", "Hugging Face folder to GGUF");
  convert->add_option("folder", o.folder, "folder with config.json and *.safetensors")
      ->required()
      ->type_name("HF_DIR");
  convert->add_option("--outfile,-o", o.outfile, "GGUF file to write")->type_name("FILE");
  add_checked(
      *convert, "--outtype", "f32, f16, bf16, q8_0 or q4_0 (default: f16)",
      [&o](const std::string& text) -> std::string {
        const auto type = parse_dtype(text);
        if (!type || (*type != DType::kF32 && *type != DType::kF16 && *type != DType::kBF16 &&
                      *type != DType::kQ8_0 && *type != DType::kQ4_0)) {
          return "want f32, f16, bf16, q8_0 or q4_0";
        }
        o.type = *type;
        return {};
      });
  add_checked(*convert, "--transpose-down",
              "none, or all: expert down matrices by neuron (faster here)",
              [&o](const std::string& text) -> std::string {
                if (text == "all" || text == "moe") {
                  o.transpose_down = true;
                } else if (text == "none" || text == "dense") {  // there are no dense layers
                  o.transpose_down = false;
                } else {
                  return "want none or all";
                }
                return {};
              });
  convert
      ->add_option("--lm-head-predictor", o.predictor, "model_lm_head.pt or .safetensors to merge")
      ->type_name("FILE");
  convert->add_flag("--dry-run", o.dry_run, "check everything and show the plan; write nothing");
  convert->add_option("-t,--threads", o.threads, kThreadsHelp)->check(CLI::Range(1, 1024));
  convert->add_flag("!--no-progress", args.progress, "no progress bars");
  convert->callback([&o] {
    if (o.outfile.empty() && !o.dry_run) throw CLI::RequiredError("--outfile");
  });
  return convert;
}

CLI::App* add_quantize(CLI::App& app, QuantizeArgs& args) {
  QuantizeOptions& o = args.options;
  CLI::App* quantize = app.add_subcommand("quantize", "GGUF of floats to fewer bits");
  quantize->add_flag("--pure", o.pure,
                     "every matrix in TYPE (default: the output matrix stays Q8_0)");
  quantize->add_option("input", o.input, "GGUF in F32, F16 or BF16")->required()->type_name("IN");
  quantize->add_option("output", o.output, "GGUF file to write")->required()->type_name("OUT");
  quantize
      ->add_option_function<std::string>(
          "type",
          [&o](const std::string& text) {
            const auto type = parse_dtype(text);
            if (!type || *type == DType::kF32 ||
                !(*type == DType::kF16 || *type == DType::kBF16 || *type == DType::kQ8_0 ||
                  *type == DType::kQ4_0)) {
              throw CLI::ValidationError("TYPE",
                                         printable(text) + ": want F16, BF16, Q8_0 or Q4_0");
            }
            o.type = *type;
          },
          "F16, BF16, Q8_0 or Q4_0")
      ->required()
      ->type_name("TYPE");
  quantize->add_option("threads", o.threads, kThreadsHelp)->check(CLI::Range(1, 1024));
  quantize->add_flag("!--no-progress", args.progress, "no progress bars");
  return quantize;
}

CLI::App* add_synth(CLI::App& app, SynthArgs& args) {
  SynthOptions& o = args.options;
  CLI::App* synth = app.add_subcommand("synth", "a made-up model of real shapes, to measure with");
  synth->add_option("arch", o.arch, "4b, 21b or tiny")->required()->type_name("ARCH");
  synth->add_option("-o,--outfile", o.outfile, "GGUF file to write")->required()->type_name("FILE");
  synth->add_option("-s,--seed", o.seed, "of the random weights")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add_checked(*synth, "--layout", "none (llama.cpp's) or transposed: expert down matrices",
              [&o](const std::string& text) -> std::string {
                if (text != "none" && text != "transposed") return "want none or transposed";
                o.transpose_down = text == "transposed";
                return {};
              });
  synth->add_option("--gate-sparsity", o.gate_sparsity, "share of neurons that are off")
      ->capture_default_str();
  synth->add_option("--router-skew", o.router_skew, "0: experts used evenly; 1: as in real models")
      ->capture_default_str();
  synth->add_flag("--predictor", o.predictor, "with an lm-head predictor");
  synth->add_option("--arch-name", o.arch_name, "smallthinker, or qwen3moe for other engines")
      ->capture_default_str()
      ->type_name("NAME");
  add_checked(*synth, "--type", "q4_0 or q8_0 (default: q4_0)",
              [&o](const std::string& text) -> std::string {
                const auto type = parse_dtype(text);
                if (type != DType::kQ4_0 && type != DType::kQ8_0) return "want q4_0 or q8_0";
                o.type = *type;
                return {};
              });
  synth->add_option("-t,--threads", o.threads, kThreadsHelp)->check(CLI::Range(1, 1024));
  synth->add_flag("!--no-progress", args.progress, "no progress bars");
  return synth;
}

CLI::App* add_tokenize(CLI::App& app, TokenizeArgs& args) {
  CLI::App* tokenize = app.add_subcommand("tokenize", "text to token ids");
  tokenize->add_option("-m,--model", args.model, "GGUF file or Hugging Face folder")
      ->required()
      ->type_name("PATH")
      ->envname("SMALLTHINKER_MODEL");
  add_text(*tokenize, args.text);
  tokenize->add_flag("--ids", args.ids, "print only the ids, as [1, 2, 3]");
  tokenize->add_flag("!--no-parse-special", args.parse_special,
                     "take <|...|> in the text literally");
  return tokenize;
}

CLI::App* add_detokenize(CLI::App& app, DetokenizeArgs& args) {
  CLI::App* detokenize = app.add_subcommand("detokenize", "token ids to text");
  detokenize->add_option("-m,--model", args.model, "GGUF file or Hugging Face folder")
      ->required()
      ->type_name("PATH")
      ->envname("SMALLTHINKER_MODEL");
  detokenize->add_option("ids", args.ids, "ids, separated by spaces or commas (default: stdin)");
  return detokenize;
}

CLI::App* add_perplexity(CLI::App& app, PerplexityArgs& args) {
  CLI::App* perplexity = app.add_subcommand("perplexity", "how well the model predicts a text");
  args.model.context = 512;
  add_model(*perplexity, args.model);
  add_record_routing(*perplexity, args.model);
  perplexity->add_option("-f,--file", args.file, "the text")->required()->type_name("FILE");
  perplexity->add_option("--chunks", args.windows, "evaluate only the first N windows of -c tokens")
      ->check(CLI::Range(1, 1 << 27));
  return perplexity;
}

CLI::App* add_inspect(CLI::App& app, InspectArgs& args) {
  CLI::App* inspect = app.add_subcommand("inspect", "what is in a GGUF file, or --system");
  CLI::Option* model = inspect->add_option("model", args.model, "GGUF file")->type_name("FILE");
  inspect
      ->add_flag("--system", args.system,
                 "instead: this machine, what limits us on it, and what we chose to use")
      ->excludes(model);
  inspect->add_flag("--plan", args.plan,
                    "how --memory SIZE would be divided, and how fast that might be");
  add_memory(*inspect, args.settings);
  add_expert_bundle(*inspect, args.settings);
  inspect->add_flag("--tensors", args.tensors, "list every tensor");
  inspect->add_flag("--json", args.json, "machine-readable");
  inspect->callback([&args, model] {
    if (!args.system && args.model.empty()) throw CLI::RequiredError(model->get_name());
  });
  return inspect;
}

CLI::App* add_logits(CLI::App& app, LogitsArgs& args) {
  CLI::App* logits = app.add_subcommand("logits", "logits of a prompt as a NumPy file");
  add_model(*logits, args.model);
  add_text(*logits, args.text);
  logits
      ->add_option_function<std::string>(
          "--tokens", [&args](const std::string& text) { args.tokens = text; }, "ids: 1,2,3")
      ->type_name("IDS");
  logits->add_flag("--all", args.all, "a row for every token, not only the last");
  logits->add_option("-o,--outfile", args.outfile, "float32 array (T, V)")
      ->required()
      ->type_name("FILE.npy");
  return logits;
}

}  // namespace

Command parse_command_line(std::vector<std::string> arguments) {
  std::ranges::transform(arguments, arguments.begin(), normalise);

  CLI::App app{"SmallThinker: sparse mixture-of-experts language models on ordinary devices",
               "smallthinker"};
  app.require_subcommand(1);
  app.set_version_flag("--version", ST_VERSION);
  app.set_help_flag("-h,--help", "show help and exit");

  RunArgs run;
  ConvertArgs convert;
  QuantizeArgs quantize;
  BundleArgs bundle;
  StripArgs strip;
  SynthArgs synth;
  TokenizeArgs tokenize;
  DetokenizeArgs detokenize;
  PerplexityArgs perplexity;
  InspectArgs inspect;
  LogitsArgs logits;
  BenchArgs bench;
  VerifyArgs verify;
  CacheSimArgs cache_sim;
  CLI::App* is_run = add_run(app, run);
  CLI::App* is_convert = add_convert(app, convert);
  CLI::App* is_quantize = add_quantize(app, quantize);
  CLI::App* is_bundle = add_bundle(app, bundle);
  CLI::App* is_strip = add_strip(app, strip);
  CLI::App* is_synth = add_synth(app, synth);
  CLI::App* is_tokenize = add_tokenize(app, tokenize);
  CLI::App* is_detokenize = add_detokenize(app, detokenize);
  CLI::App* is_perplexity = add_perplexity(app, perplexity);
  CLI::App* is_inspect = add_inspect(app, inspect);
  CLI::App* is_logits = add_logits(app, logits);
  CLI::App* is_bench = add_bench(app, bench);
  CLI::App* is_verify = add_verify(app, verify);
  CLI::App* is_cache_sim = add_cache_sim(app, cache_sim);
  CLI::App* is_version = app.add_subcommand("version", "print the version");
  CLI::App* is_help = app.add_subcommand("help", "show help, also: help COMMAND");
  std::string topic;
  is_help->add_option("command", topic, "command");

  std::ranges::reverse(arguments);  // CLI11 takes them from the back
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    for (const CLI::App* sub : app.get_subcommands()) return PrintArgs{sub->help("smallthinker")};
    return PrintArgs{app.help()};
  } catch (const CLI::CallForVersion&) {
    return PrintArgs{std::string(ST_VERSION) + "\n"};
  } catch (const CLI::ParseError& e) {
    std::string message = e.what();
    std::ranges::replace(message, '\n', ' ');
    const auto used = app.get_subcommands();
    fail(ErrorCode::kInvalidUsage, "{}; see 'smallthinker {}--help'", printable(message, 400),
         used.empty() ? "" : used.front()->get_name() + " ");
  }
  if (*is_run) return run;
  if (*is_convert) return convert;
  if (*is_quantize) return quantize;
  if (*is_bundle) return bundle;
  if (*is_strip) return strip;
  if (*is_synth) return synth;
  if (*is_tokenize) return tokenize;
  if (*is_detokenize) return detokenize;
  if (*is_perplexity) return perplexity;
  if (*is_inspect) return inspect;
  if (*is_logits) return logits;
  if (*is_bench) return bench;
  if (*is_verify) return verify;
  if (*is_cache_sim) return cache_sim;
  if (*is_version) return PrintArgs{"smallthinker " ST_VERSION "\n"};
  if (topic.empty()) {  // app.help() would show the help of `help`
    return PrintArgs{
        app.get_formatter()->make_help(&app, "smallthinker", CLI::AppFormatMode::Normal)};
  }
  for (const CLI::App* sub : app.get_subcommands({})) {
    if (sub->get_name() == topic) return PrintArgs{sub->help("smallthinker")};
  }
  fail(ErrorCode::kInvalidUsage, "help: no command '{}'", printable(topic));
}

}  // namespace st
