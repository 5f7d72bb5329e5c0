#include "cli/options_parts.h"

namespace st {

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

}  // namespace st
