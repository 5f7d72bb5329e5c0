#include "cli/option_values.h"
#include "cli/options_cli11.h"

namespace st {

CLI::App* add_template(CLI::App& app, TemplateArgs& args) {
  CLI::App* command = app.add_subcommand("template", "what a chat template makes of a context");
  CLI::Option* context =
      command->add_option("--context", args.context, "JSON object with the template's variables")
          ->type_name("FILE");
  command->add_option("--template-file", args.template_file, "a Jinja template: print its text")
      ->required()
      ->needs(context)
      ->type_name("FILE");
  add_checked(*command, "--now", "the time for the template, such as 2026-11-05T07:08:09",
              [&args](const std::string& text) { return read_time(text, args.now.emplace()); })
      ->type_name("TIME");
  return command;
}

}  // namespace st
