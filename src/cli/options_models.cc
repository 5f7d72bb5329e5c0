// The options of commands about models by name: pull, ls, rm.
#include "cli/options_cli11.h"

namespace st {

CLI::App* add_pull(CLI::App& app, PullArgs& args) {
  CLI::App* pull = app.add_subcommand("pull", "download a model by name, and print its path");
  pull->add_option("name", args.name,
                   "OWNER/REPO[:QUANT] of Hugging Face, such as " + std::string(kExampleModel) +
                       "; or OWNER/REPO:FILE")
      ->required()
      ->type_name("NAME");
  add_whole(*pull, "--tries", "how often to try again without getting a byte", 1, 1000, args.tries);
  pull->add_flag("!--no-progress", args.progress, "no progress bars");
  return pull;
}

CLI::App* add_list(CLI::App& app, ListArgs& args) {
  CLI::App* list =
      app.add_subcommand("ls", "list the models that are here, by name, and converted copies");
  list->add_flag("--json", args.json, "machine-readable");
  return list;
}

CLI::App* add_remove(CLI::App& app, RemoveArgs& args) {
  CLI::App* remove =
      app.add_subcommand("rm", "remove models that were downloaded, or converted copies");
  remove
      ->add_option(
          "names", args.names,
          "OWNER/REPO[:QUANT], without QUANT all of it; or a folder that was converted: its copy")
      ->required()
      ->type_name("MODEL");
  return remove;
}

}  // namespace st
