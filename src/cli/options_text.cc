#include <charconv>

#include "cli/options_parts.h"

namespace st {
namespace {

constexpr const char* kRawHelp = "print control bytes of the text to a terminal too";

void add_sampling(CLI::App& app, SamplerOptions& s) {
  add_whole(app, "-s,--seed", "seed of the sampler (default, or -1: random)", -1, UINT32_MAX,
            [&s](int64_t seed) { s.seed = static_cast<uint32_t>(seed); });
  add_decimal(app, "--temp,--temperature", "temperature; 0: always the likeliest token", -1e6, 1e6,
              s.temperature);
  add_whole(app, "--top-k", "keep the k likeliest tokens; 0: off", -1, 1 << 24, s.top_k);
  add_decimal(app, "--top-p", "keep tokens up to this cumulative probability; 1: off", 0.0, 1.0,
              s.top_p);
  add_decimal(app, "--min-p", "drop tokens this much less likely than the best; 0: off", 0.0, 1.0,
              s.min_p);
  add_decimal(app, "--typical,--typical-p", "locally typical sampling; 1: off", 0.0, 1.0,
              s.typical_p);
  add_whole(app, "--repeat-last-n", "tokens the penalties look at; 0: off, -1: all", -1, 1 << 27,
            s.repeat_last_n);
  add_decimal(app, "--repeat-penalty", "divide logits of seen tokens; 1: off", 1e-3, 1e3,
              s.repeat_penalty);
  add_decimal(app, "--frequency-penalty", "subtract per occurrence; 0: off", -1e3, 1e3,
              s.frequency_penalty);
  add_decimal(app, "--presence-penalty", "subtract once if seen; 0: off", -1e3, 1e3,
              s.presence_penalty);
  app.add_option_function<std::string>(
         "--samplers",
         [&s](const std::string& text) {
           s.chain = with_context("--samplers", [&] { return parse_samplers(text); });
         },
         "filters in order, e.g. \"temperature;top_k;top_p\"")
      ->type_name("LIST");
}

std::string read_memory_change(const std::string& text, std::vector<MemoryChange>& changes) {
  const size_t colon = text.find(':');
  MemoryChange change;
  const char* end = text.data() + std::min(colon, text.size());
  const auto [rest, error] = std::from_chars(text.data(), end, change.tokens);
  if (colon == std::string::npos || error != std::errc() || rest != end || change.tokens < 1) {
    return "want TOKENS:SIZE, such as 64:700MiB";
  }
  if (const std::string wrong = read_size(text.substr(colon + 1), change.bytes); !wrong.empty()) {
    return wrong;
  }
  if (!changes.empty() && changes.back().tokens >= change.tokens) return "want ascending tokens";
  changes.push_back(change);
  return {};
}

}  // namespace

void add_text(CLI::App& app, TextArgs& args) {
  auto* prompt = app.add_option_function<std::string>(
      "-p,--prompt", [&args](const std::string& text) { args.prompt = text; }, "the text");
  prompt->type_name("TEXT");
  app.add_option("-f,--file", args.file, "read the text from a file, or - for standard input")
      ->type_name("FILE")
      ->excludes(prompt);
  app.add_flag("-e,--escape,!--no-escape", args.escape,
               "understand \\n, \\r, \\t, \\', \\\", \\\\, \\xHH in -p (default; --no-escape: take "
               "it literally)");
}

CLI::App* add_run(CLI::App& app, RunArgs& args) {
  CLI::App* run = app.add_subcommand("run", "generate text from a prompt");
  add_model(*run, args.model);
  add_lm_head(*run, args.model);
  add_record_routing(*run, args.model);
  // What belongs to no option: the model, if -m is not given.
  run->add_option_function<std::vector<std::string>>(
         "words", [](const std::vector<std::string>&) {}, "GGUF file, instead of -m")
      ->type_name("FILE");
  add_text(*run, args.text);
  add_whole(*run, "-n,--predict,--n-predict",
            "tokens to generate; -1 or -2: until the model ends, or the context is full", -2,
            1 << 27, args.generate.session.max_tokens);
  add_sampling(*run, args.generate.session.sampler);
  run->add_option_function<std::vector<std::string>>(
         "--memory-change",
         [&args](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) {
             const std::string wrong = read_memory_change(text, args.memory_changes);
             if (!wrong.empty()) refuse_value("--memory-change", text, wrong);
           }
         },
         "TOKENS:SIZE: another budget once so many tokens are generated; may be repeated")
      ->allow_extra_args(false)
      ->needs(run->get_option("--memory"))
      ->type_name("CHANGE");
  run->add_flag("--raw", args.raw, kRawHelp);
  run->add_flag("--ignore-eos", args.generate.session.ignore_eos, "never end by itself");
  run->add_flag("!--no-display-prompt", args.display_prompt, "print only what is generated");
  // Text completion is what `run` does; the flag is understood so that commands can be pasted.
  const std::string plain = "-no-cnv: plain completion (always so)";
  run->add_flag("--no-cnv,--no-conversation", plain);
  return run;
}

CLI::App* add_tokenize(CLI::App& app, TokenizeArgs& args) {
  CLI::App* tokenize = app.add_subcommand("tokenize", "text to token ids");
  tokenize
      ->add_option("-m,--model", args.model,
                   "GGUF file or Hugging Face folder (or $SMALLTHINKER_MODEL)")
      ->type_name("PATH");
  add_text(*tokenize, args.text);
  tokenize->add_flag("--ids", args.ids, "print only the ids, as [1, 2, 3]");
  tokenize->add_flag("!--no-parse-special", args.parse_special,
                     "take <|...|> in the text literally");
  return tokenize;
}

CLI::App* add_detokenize(CLI::App& app, DetokenizeArgs& args) {
  CLI::App* detokenize = app.add_subcommand("detokenize", "token ids to text");
  detokenize
      ->add_option("-m,--model", args.model,
                   "GGUF file or Hugging Face folder (or $SMALLTHINKER_MODEL)")
      ->type_name("PATH");
  detokenize->add_flag("--raw", args.raw, kRawHelp);
  detokenize->add_option("ids", args.ids, "ids, separated by spaces or commas (default: stdin)");
  return detokenize;
}

CLI::App* add_perplexity(CLI::App& app, PerplexityArgs& args) {
  CLI::App* perplexity = app.add_subcommand("perplexity", "how well the model predicts a text");
  args.model.context = 512;
  add_model(*perplexity, args.model);
  add_record_routing(*perplexity, args.model);
  perplexity->add_option("-f,--file", args.file, "the text, or - for standard input")
      ->required()
      ->type_name("FILE");
  add_whole(*perplexity, "--chunks",
            "evaluate only the first N windows of -c tokens (default: all)", 1, 1 << 27,
            [&args](int64_t windows) { args.windows = windows; });
  return perplexity;
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

}  // namespace st
