#include "cli/options_parts.h"

namespace st {

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
  add_threads(*convert, "-t,--threads", o.threads);
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
              refuse_value("TYPE", text, "want F16, BF16, Q8_0 or Q4_0");
            }
            o.type = *type;
          },
          "F16, BF16, Q8_0 or Q4_0")
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
  synth->add_option("arch", o.arch, "4b, 21b or tiny")->required()->type_name("ARCH");
  synth->add_option("-o,--outfile", o.outfile, "GGUF file to write")->required()->type_name("FILE");
  add_whole(*synth, "-s,--seed", "of the random weights", 0, INT64_MAX, o.seed);
  add_checked(*synth, "--layout", "none (llama.cpp's) or transposed: expert down matrices",
              [&o](const std::string& text) -> std::string {
                if (text != "none" && text != "transposed") return "want none or transposed";
                o.transpose_down = text == "transposed";
                return {};
              });
  add_decimal(*synth, "--gate-sparsity", "share of neurons that are off", 0.05, 0.99,
              o.gate_sparsity);
  add_decimal(*synth, "--router-skew", "0: experts used evenly; 1: as in real models", 0, 1,
              o.router_skew);
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
  add_threads(*synth, "-t,--threads", o.threads);
  synth->add_flag("!--no-progress", args.progress, "no progress bars");
  return synth;
}

}  // namespace st
