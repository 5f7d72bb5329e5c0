// The options of each command: what many of them share first, then a function a command.
#include <fmt/format.h>

#include <algorithm>

#include "cli/option_values.h"
#include "cli/options_cli11.h"
#include "cli/sampler_settings.h"
#include "convert/quant_mix.h"
#include "engine/lookup_drafter.h"
#include "study/synth_archs.h"
#include "tensor/quantize.h"

namespace st {
namespace {

constexpr const char* kThreadsHelp =
    "threads (0 or -1, the default: one per big core we may use, see 'inspect --system')";

// 0 and -1 are the default.
CLI::Option* add_threads(CLI::App& app, const std::string& names, int& threads) {
  return add_whole(app, names, kThreadsHelp, -1, 1024, [&threads](int64_t number) {
    threads = static_cast<int>(std::max<int64_t>(number, 0));
  });
}

std::string read_gating(const std::string& text, ModelArgs& args) {
  if (text == "softmax") {
    args.gating = Gating::kSoftmax;
  } else if (text == "sigmoid") {
    args.gating = Gating::kSigmoid;
  } else if (text == "auto") {
    args.gating.reset();
  } else {
    return "want auto, softmax or sigmoid";
  }
  return {};
}

std::string read_lm_head(const std::string& text, ModelArgs& args) {
  if (text == "auto") {
    args.lm_head.reset();
  } else if (text == "sparse") {
    args.lm_head = LmHead::kSparse;
  } else if (text == "dense") {
    args.lm_head = LmHead::kDense;
  } else if (text == "check") {
    args.lm_head = LmHead::kCheck;
  } else {
    return "want auto, sparse, dense or check";
  }
  return {};
}

std::string read_cache_type(const std::string& text, ModelArgs& args) {
  const auto type = parse_kv_type(text);
  if (!type) return "want f32, i16 or i8";
  if (args.cache_type && args.cache_type != type) {
    return fmt::format("keys and values have one type, and {} was asked for",
                       kv_type_name(*args.cache_type));
  }
  args.cache_type = type;
  return {};
}

void add_memory(CLI::App& app, ModelArgs& args) {
  add_checked(app, "--memory",
              "budget of the whole process, such as 1GiB: experts beyond it stay in the file until "
              "they are needed",
              [&args](const std::string& text) { return read_size(text, args.memory); })
      ->type_name("SIZE");
}

void add_expert_bundle(CLI::App& app, ModelArgs& args) {
  app.add_option("--expert-bundle", args.expert_bundle,
                 "the reference engine's headerless bundle, with the experts of a stripped model")
      ->type_name("FILE");
}

// -m and how to run it, but for the numbers of add_model().
void add_model_settings(CLI::App& app, ModelArgs& args) {
  app.add_option("-m,--model", args.model,
                 "GGUF file, or OWNER/REPO[:QUANT] of Hugging Face (or $SMALLTHINKER_MODEL)")
      ->type_name("MODEL");
  add_offline(app, args.offline);
  // Two options of llama.cpp, one thing here.
  constexpr const char* kCacheTypes = "f32|i16|i8";
  const auto read = [&args](const std::string& text) { return read_cache_type(text, args); };
  add_checked(app, "--cache-type-k,--cache-type",
              "-ctk, -ctv: how keys and values are kept: as floats, or integers with a scale per "
              "head and position; f16 and q8_0 mean i16 and i8 (default: f32 for F32 models, else "
              "i16)",
              read)
      ->type_name(kCacheTypes);
  add_checked(app, "--cache-type-v", "the same", read)->type_name(kCacheTypes);
  add_checked(app, "--moe-gating", "overrides the file", [&args](const std::string& text) {
    return read_gating(text, args);
  })->type_name("auto|softmax|sigmoid");
  app.add_option("--cpu", args.kernels, "force a kernel set (or $SMALLTHINKER_CPU)")
      ->type_name("avx512|avxvnni|avx2|i8mm|dotprod|neon|scalar");
  add_memory(app, args);
  app.add_option(
         "--hot-set", args.hot_set,
         "file that remembers between runs which experts are used most: they are read first")
      ->type_name("FILE");
  add_expert_bundle(app, args);
  app.add_flag("--reference-env", args.reference_env,
               "obey EXPERT_BUNDLE_PATH, GENERATE_EXPERT_BUNDLE and MAX_N_CACHED, the reference "
               "engine's environment variables");
  app.add_flag("-v,--verbose", args.verbose, "tell more on standard error");
  app.add_flag("!--no-progress", args.progress, "no progress bars");
}

// For commands that run a model for long.
void add_record_routing(CLI::App& app, ModelArgs& args) {
  app.add_option("--record-routing", args.record_routing,
                 "write which experts each token chose, for cache-sim")
      ->type_name("FILE");
}

constexpr const char* kRawHelp = "print control bytes of the text to a terminal too";

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

}  // namespace

// How logits are computed, for commands that only sample from them.
void add_lm_head(CLI::App& app, ModelArgs& args) {
  args.lm_head.reset();
  add_checked(app, "--lm-head",
              "auto: sparse if the model has a predictor of the rows that matter; check: dense, "
              "and tell how often sparse agrees",
              [&args](const std::string& text) { return read_lm_head(text, args); })
      ->type_name("auto|sparse|dense|check");
  add_decimal(app, "--lm-head-threshold", "sparse: compute rows that are predicted to score more",
              -1e6, 1e6, args.lm_head_threshold);
  add_whole(app, "--lm-head-floor", "sparse: compute at least so many rows", 1, 1 << 27,
            args.lm_head_floor);
}

// The model settings with -t, -c, -b and -ub.
void add_model(CLI::App& app, ModelArgs& args) {
  add_model_settings(app, args);
  add_threads(app, "-t,--threads", args.threads);
  add_whole(
      app, "-c,--ctx-size",
      "context in tokens; 0: as many as the model was trained for, with --memory at most 4096", 0,
      1 << 27, args.context);
  add_whole(app, "-b,--batch-size", "prompt tokens per step, at most -ub at once", 1, 1 << 20,
            args.batch);
  add_whole(app, "--ubatch-size", "-ub: tokens per forward pass", 1, 1 << 20, args.micro_batch);
}

void add_sampling(CLI::App& app, SamplerOptions& s) {
  add_whole(app, "-s,--seed", "seed of the sampler (default, or -1: random)", -1, UINT32_MAX,
            [&s](int64_t seed) { s.seed = static_cast<uint32_t>(seed); });
  for (const SamplerSetting& setting : sampler_settings()) {
    if (const auto* member = std::get_if<float SamplerOptions::*>(&setting.value)) {
      add_decimal(app, setting.options, setting.help, setting.min, setting.max, s.**member);
    } else {
      add_whole(app, setting.options, setting.help, static_cast<int64_t>(setting.min),
                static_cast<int64_t>(setting.max),
                s.*std::get<int32_t SamplerOptions::*>(setting.value));
    }
  }
  app.add_option_function<std::string>(
         "--samplers",
         [&s](const std::string& text) {
           s.chain = with_context("--samplers", [&] { return parse_samplers(text); });
         },
         "filters in order, e.g. \"temperature;top_k;top_p\"")
      ->type_name("LIST");
}

void add_spec(CLI::App& app, std::shared_ptr<Drafter>& drafter) {
  drafter = std::make_shared<LookupDrafter>();
  add_checked(app, "--spec",
              "where text repeats itself, several tokens a pass while that pays; the text is the "
              "same",
              [&drafter](const std::string& text) { return read_spec(text, drafter); })
      ->type_name("auto|off");
}

CLI::App* add_run(CLI::App& app, RunArgs& args) {
  CLI::App* run = app.add_subcommand("run", "generate text from a prompt");
  add_model(*run, args.model);
  add_lm_head(*run, args.model);
  add_record_routing(*run, args.model);
  // What belongs to no option: the model, if -m is not given.
  run->add_option_function<std::vector<std::string>>(
         "words", [](const std::vector<std::string>&) {}, "model and text, instead of -m and -p")
      ->type_name("MODEL");
  add_text(*run, args.text);
  add_whole(*run, "-n,--predict,--n-predict",
            "tokens to generate; -1 or -2: until the model ends, or the context is full", -2,
            1 << 27, args.generate.session.max_tokens);
  add_sampling(*run, args.generate.session.sampler);
  add_spec(*run, args.generate.session.drafter);
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
  run->add_flag("!--no-cnv,!--no-conversation", args.chat,
                "-no-cnv: completion of a text, also at a terminal and without one");
  return run;
}

CLI::App* add_tokenize(CLI::App& app, TokenizeArgs& args) {
  CLI::App* tokenize = app.add_subcommand("tokenize", "text to token ids");
  tokenize
      ->add_option("-m,--model", args.model,
                   "GGUF file, Hugging Face folder or OWNER/REPO (or $SMALLTHINKER_MODEL)")
      ->type_name("MODEL");
  add_offline(*tokenize, args.offline);
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
                   "GGUF file, Hugging Face folder or OWNER/REPO (or $SMALLTHINKER_MODEL)")
      ->type_name("MODEL");
  add_offline(*detokenize, args.offline);
  detokenize->add_flag("--raw", args.raw, kRawHelp);
  detokenize->add_option("ids", args.ids, "ids, separated by spaces or commas (default: stdin)");
  return detokenize;
}

namespace {

CLI::Option* add_chunks(CLI::App& app, int64_t& windows) {
  return add_whole(app, "--chunks", "evaluate only the first N windows of -c tokens (default: all)",
                   1, 1 << 27, [&windows](int64_t n) { windows = n; });
}

}  // namespace

CLI::App* add_perplexity(CLI::App& app, PerplexityArgs& args) {
  CLI::App* perplexity = app.add_subcommand("perplexity", "how well the model predicts a text");
  args.model.context = 512;
  add_model(*perplexity, args.model);
  add_record_routing(*perplexity, args.model);
  CLI::Option* file =
      perplexity->add_option("-f,--file", args.file, "the text, or - for standard input")
          ->type_name("FILE");
  CLI::Option* chunks = add_chunks(*perplexity, args.windows);
  CLI::Option* saved =
      perplexity
          ->add_option(
              "--kl-divergence-base,--save-all-logits", args.saved_logits,
              "save the logits of each window's second half, in 16 bits, as llama.cpp does")
          ->type_name("FILE");
  perplexity
      ->add_flag("--kl-divergence", args.kl_divergence,
                 "instead: compare with that file, of another model's logits, on the text in it")
      ->needs(saved)
      ->excludes(file)
      ->excludes(chunks);
  perplexity->callback([&args] {
    if (!args.kl_divergence && args.file.empty()) throw CLI::RequiredError("--file");
  });
  return perplexity;
}

CLI::App* add_imatrix(CLI::App& app, ImatrixArgs& args) {
  CLI::App* imatrix = app.add_subcommand(
      "imatrix", "which weights matter in a text: importance of columns, for quantize");
  args.model.context = 512;
  add_model(*imatrix, args.model);
  imatrix->add_option("-f,--file", args.file, "the text, or - for standard input")
      ->required()
      ->type_name("FILE");
  add_chunks(*imatrix, args.windows);
  imatrix->add_flag("--process-output", args.output, "of the output matrix, too");
  imatrix->add_option("-o,--outfile", args.outfile, "GGUF file, as llama.cpp's imatrix writes")
      ->required()
      ->type_name("FILE");
  return imatrix;
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

CLI::App* add_inspect(CLI::App& app, InspectArgs& args) {
  CLI::App* inspect = app.add_subcommand("inspect", "what is in a GGUF file, or --system");
  CLI::Option* model = inspect->add_option("model", args.model, "GGUF file, or OWNER/REPO[:QUANT]")
                           ->type_name("MODEL");
  add_offline(*inspect, args.offline);
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
  inspect->callback([&args] {
    if (!args.system && args.model.empty()) throw CLI::RequiredError("a GGUF file, or --system");
  });
  return inspect;
}

CLI::App* add_convert(CLI::App& app, ConvertArgs& args) {
  ConvertOptions& o = args.options;
  CLI::App* convert = app.add_subcommand("convert", "Hugging Face folder to GGUF");
  convert->add_option("folder", o.folder, "folder with config.json and *.safetensors")
      ->required()
      ->type_name("HF_DIR");
  convert->add_option("--outfile,-o", o.outfile, "GGUF file to write")->type_name("FILE");
  add_checked(
      *convert, "--outtype", "of all matrices (default: f16)",
      [&o](const std::string& text) -> std::string {
        const auto type = parse_dtype(text);
        if (!type || (*type != DType::kF32 && *type != DType::kF16 && *type != DType::kBF16 &&
                      *type != DType::kQ8_0 && *type != DType::kQ4_0)) {
          return "want f32, f16, bf16, q8_0 or q4_0";
        }
        o.type = *type;
        return {};
      })
      ->type_name("f32|f16|bf16|q8_0|q4_0");
  add_checked(*convert, "--transpose-down", "all: expert down matrices by neuron (faster here)",
              [&o](const std::string& text) -> std::string {
                if (text == "all" || text == "moe") {
                  o.transpose_down = true;
                } else if (text == "none" || text == "dense") {  // there are no dense layers
                  o.transpose_down = false;
                } else {
                  return "want none or all";
                }
                return {};
              })
      ->type_name("none|all");
  convert
      ->add_option("--lm-head-predictor", o.predictor, "model_lm_head.pt or .safetensors to merge")
      ->type_name("FILE");
  convert->add_flag("--dry-run", o.dry_run, "check everything and show the plan; write nothing");
  add_threads(*convert, "-t,--threads", o.threads);
  convert->add_flag("!--no-progress", args.progress, "no progress bars");
  convert->callback([&o] {
    if (o.outfile.empty() && !o.dry_run) throw CLI::RequiredError("--outfile");
  });
  return convert;
}

namespace {

// A type that we write, by name.
DType read_type(const std::string& names, const std::string& text) {
  const auto type = parse_dtype(text);
  if (!type || !can_quantize(*type)) refuse_value(names, text, "want a type such as Q6_K or F16");
  return *type;
}

void add_type(CLI::App& app, const std::string& names, const std::string& help,
              std::optional<DType>& type) {
  app.add_option_function<std::string>(
         names, [names, &type](const std::string& text) { type = read_type(names, text); }, help)
      ->type_name("TYPE");
}

void add_types_of_matrices(CLI::App& quantize, QuantizeOptions& o) {
  quantize.add_flag("--pure", o.pure,
                    "all matrices in the same type (default: as llama.cpp mixes)");
  quantize
      .add_option_function<std::vector<std::string>>(
          "--tensor-type",
          [&o](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              const size_t at = text.rfind('=');
              if (at == text.npos || at == 0)
                refuse_value("--tensor-type", text, "want REGEX=TYPE, such as attn_v=q8_0");
              o.tensor_types.emplace_back(text.substr(0, at),
                                          read_type("--tensor-type", text.substr(at + 1)));
            }
          },
          "type of matrices whose names match; may be given often, the first that matches counts")
      ->allow_extra_args(false)
      ->type_name("REGEX=TYPE");
  add_type(quantize, "--output-tensor-type", "type of the output matrix", o.output_type);
  add_type(quantize, "--token-embedding-type", "type of the token embeddings", o.embedding_type);
}

}  // namespace

CLI::App* add_quantize(CLI::App& app, QuantizeArgs& args) {
  QuantizeOptions& o = args.options;
  CLI::App* quantize = app.add_subcommand("quantize", "GGUF to fewer bits");
  add_types_of_matrices(*quantize, o);
  quantize->add_option("--imatrix", o.imatrix, "importance of columns, as 'imatrix' writes it")
      ->type_name("FILE");
  quantize->add_flag("--allow-requantize", o.allow_requantize,
                     "also matrices that have few bits already, which loses more");
  quantize->add_flag("--dry-run", o.dry_run, "show types and sizes; write nothing");
  quantize
      ->add_option("input", o.input,
                   "GGUF in F32, F16 or BF16; matrices that have their type already are copied")
      ->required()
      ->type_name("IN");
  quantize->add_option("output", o.output, "GGUF file to write")->required()->type_name("OUT");
  quantize
      ->add_option_function<std::string>(
          "type",
          [&o](const std::string& text) {
            if (find_quant_mix(text) == nullptr)
              refuse_value("TYPE", text, fmt::format("want {}", quant_mix_names()));
            o.mix = text;
          },
          quant_mix_names())
      ->required()
      ->type_name("TYPE");
  add_threads(*quantize, "threads", o.threads);
  quantize->add_flag("!--no-progress", args.progress, "no progress bars");
  return quantize;
}

CLI::App* add_bundle(CLI::App& app, BundleArgs& args) {
  BundleOptions& o = args.options;
  CLI::App* bundle =
      app.add_subcommand("bundle", "a model with each expert in one piece, checked on every read");
  bundle->add_option("input", o.input, "GGUF file")->required()->type_name("IN");
  bundle->add_option("-o,--outfile", o.output, "GGUF file to write")->required()->type_name("OUT");
  bundle
      ->add_option("--expert-bundle", o.expert_bundle,
                   "the reference engine's headerless bundle, if IN is a stripped model")
      ->type_name("FILE");
  bundle->add_flag("!--no-progress", args.progress, "no progress bars");
  return bundle;
}

CLI::App* add_strip(CLI::App& app, StripArgs& args) {
  CLI::App* strip = app.add_subcommand("strip", "a model without its experts");
  strip->add_option("input", args.input, "GGUF file")->required()->type_name("IN");
  strip->add_option("-o,--outfile", args.output, "GGUF file to write")
      ->required()
      ->type_name("OUT");
  strip->add_flag("!--no-progress", args.progress, "no progress bars");
  return strip;
}

CLI::App* add_synth(CLI::App& app, SynthArgs& args) {
  SynthOptions& o = args.options;
  CLI::App* synth = app.add_subcommand("synth", "a made-up model of real shapes, to measure with");
  synth->add_option("arch", o.arch, std::string(kSynthArchNames))->required()->type_name("ARCH");
  synth->add_option("-o,--outfile", o.outfile, "GGUF file to write")->required()->type_name("FILE");
  add_whole(*synth, "-s,--seed", "of the random weights", 0, INT64_MAX, o.seed);
  add_checked(*synth, "--layout", "of expert down matrices; none: llama.cpp's",
              [&o](const std::string& text) -> std::string {
                if (text != "none" && text != "transposed") return "want none or transposed";
                o.transpose_down = text == "transposed";
                return {};
              })
      ->type_name("none|transposed");
  add_decimal(*synth, "--gate-sparsity", "share of ReLU neurons that are off", 0.05, 0.99,
              o.gate_sparsity);
  add_decimal(*synth, "--router-skew", "0: experts used evenly; 1: as in real models", 0, 1,
              o.router_skew);
  synth->add_flag("--predictor", o.predictor, "with an lm-head predictor");
  synth->add_option("--arch-name", o.arch_name, "qwen3moe: for other engines")
      ->capture_default_str()
      ->type_name("smallthinker|qwen3moe");
  synth
      ->add_option_function<std::string>(
          "--type",
          [&o](const std::string& text) {
            const QuantMix* mix = parse_dtype(text) ? nullptr : find_quant_mix(text);
            o.mix = mix == nullptr ? "" : text;
            o.type = mix == nullptr ? read_type("--type", text) : mix->type;
          },
          "of all matrices, such as q8_0, f16 or q4_k (default: q4_0), or a mix: q4_k_m")
      ->type_name("TYPE");
  add_threads(*synth, "-t,--threads", o.threads);
  synth->add_flag("!--no-progress", args.progress, "no progress bars");
  return synth;
}

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
  add_checked(*bench, "-o,--output", "how results are printed (default: md)",
              [&args](const std::string& text) -> std::string {
                const auto format = parse_bench_format(text);
                if (!format) return "want md, csv, json or jsonl";
                args.format = *format;
                return {};
              })
      ->type_name("md|csv|json|jsonl");
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
              [&args](const std::string& text) { return read_sizes(text, args.memory); })
      ->type_name("LIST");
  verify->get_option("--hot-set")->needs("--memory");  // each other run stands for itself
  add_whole(*verify, "-p,--n-prompt", "tokens to evaluate", 2, 1 << 20, args.tokens);
  verify->add_option("-f,--file", args.file, "the first -p tokens of a text, not random ones")
      ->type_name("FILE");
  add_numbers(*verify, "-t,--threads", "threads (default: 1,2,3,8)", {1, 1024}, args.threads);
  add_numbers(*verify, "--ubatch-size", "-ub: tokens per forward pass (default: 1,7,64,512)",
              kBatch, args.micro_batch);
  return verify;
}

namespace {

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
  CLI::Option* made_up =
      add_checked(*sim, "--made-up", "instead of a trace: such routing (docs/memory.md)",
                  [&args](const std::string& text) -> std::string {
                    args.made_up = parse_made_up_kind(text);
                    return args.made_up ? "" : "want uniform, published, drifting or sticky";
                  });
  made_up->excludes(trace)->type_name("uniform|published|drifting|sticky");
  add_checked(*sim, "--shape", "of what is made up (default: 4b)",
              [&args](const std::string& text) -> std::string {
                const auto shape = released_shape(text);
                if (shape) args.shape = *shape;
                return shape ? "" : "want 4b or 21b";
              })
      ->type_name("4b|21b");
  add_whole(*sim, "--tokens", "to make up", 1, 1 << 20, args.tokens);
  add_whole(*sim, "-s,--seed", "of what is made up", 0, INT64_MAX, args.seed);
  add_values(*sim, "--memory",
             "for experts: sizes (1GiB) or shares of all experts (30%), each simulated",
             [&args](const std::string& text) { return read_cache_budget(text, args.memory); })
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
