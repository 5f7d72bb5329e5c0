// The options of `session`.
#include <array>

#include "cli/options_cli11.h"

namespace st {
namespace {

struct ActionName {
  std::string_view name;
  SessionArgs::Action action;
  size_t least, most;  // names
};

constexpr std::array kActions = {
    ActionName{"ls", SessionArgs::Action::kList, 0, 0},
    ActionName{"show", SessionArgs::Action::kShow, 1, 1},
    ActionName{"rm", SessionArgs::Action::kRemove, 1, 1 << 20},
    ActionName{"export", SessionArgs::Action::kExport, 1, 2},
    ActionName{"import", SessionArgs::Action::kImport, 1, 2},
};

const ActionName* find_action(const std::string& name) {
  const auto* found = std::ranges::find(kActions, std::string_view(name), &ActionName::name);
  return found == kActions.end() ? nullptr : found;
}

}  // namespace

CLI::App* add_session(CLI::App& app, SessionArgs& args) {
  CLI::App* session = app.add_subcommand("session", "conversations that were kept");
  auto* action = session->add_option_function<std::string>(
      "action",
      [&args](const std::string& text) {
        const ActionName* known = find_action(text);
        if (known == nullptr) refuse_value("action", text, "want ls, show, rm, export or import");
        args.action = known->action;
      },
      "ls; show NAME; rm NAME ...; export NAME [FILE]: its messages as JSON; import NAME [FILE]");
  action->required()->type_name("ls|show|rm|export|import");
  session->add_option("names", args.names, "names, or paths of files *.stsession")
      ->type_name("SESSION");
  session->final_callback([&args] {
    for (const ActionName& known : kActions) {
      if (known.action != args.action) continue;
      if (args.names.size() >= known.least && args.names.size() <= known.most) return;
      fail(ErrorCode::kInvalidUsage, "session {}: {} names, want {}{}", known.name,
           args.names.size(), known.least,
           known.most > 2             ? " or more"
           : known.most > known.least ? ", and perhaps a file"
                                      : "");
    }
  });
  return session;
}

}  // namespace st
