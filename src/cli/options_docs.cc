// What CLI11 knows of our commands, as documentation.
#include <algorithm>

#include "cli/command_docs.h"
#include "cli/options_cli11.h"

namespace st {
namespace {

OptionDoc doc_of(const CLI::Option& option) {
  OptionDoc doc{.help = option.get_description(),
                .fallback = option.get_default_str(),
                .required = option.get_required(),
                .repeats = option.get_expected_max() > 1};
  for (const std::string& name : option.get_snames()) doc.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) doc.names.push_back("--" + name);
  if (option.get_items_expected_max() > 0) doc.value = option.get_type_name();
  return doc;
}

}  // namespace

CommandDoc doc_of(const CLI::App& app) {
  CommandDoc command{.name = app.get_name(), .help = app.get_description(), .options = {}};
  for (const CLI::Option* option : app.get_options()) {
    const bool shown = option != app.get_help_ptr() && !option->get_group().empty();
    if (!shown) continue;
    if (option->get_name(true, false) == "words") {
      command.options.push_back({.value = "MODEL", .help = "instead of -m"});
      command.options.push_back({.value = "TEXT", .help = "instead of -p"});
    } else {
      command.options.push_back(doc_of(*option));
    }
  }
  return command;
}

}  // namespace st
