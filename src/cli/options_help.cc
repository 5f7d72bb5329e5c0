// How --help shows options, where CLI11's own way would tell of the parser and not of the command.
#include "cli/options_cli11.h"

namespace st {
namespace {

// A model and a text where neither -m nor -p gives them.
constexpr const char* kWordsUsage = "[MODEL] [TEXT]";

bool is_words(const CLI::Option* option) { return option->get_name(true, false) == "words"; }

class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* app, std::string name) const override {
    std::string usage = CLI::Formatter::make_usage(app, name);
    if (app->get_parent() == nullptr) usage += fmt::format("   or: {} MODEL [TEXT]\n", name);
    return usage;
  }

  std::string make_option_usage(const CLI::Option* option) const override {
    return is_words(option) ? kWordsUsage : CLI::Formatter::make_option_usage(option);
  }

  // Without the value that a flag such as --no-progress stands for: "{false}".
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    if (is_positional && is_words(option)) return kWordsUsage;
    constexpr std::string_view kValue = "{false}";
    std::string name = CLI::Formatter::make_option_name(option, is_positional);
    for (size_t at = 0; (at = name.find(kValue)) != name.npos;) name.erase(at, kValue.size());
    return name;
  }

  std::string make_option_opts(const CLI::Option* option) const override {
    return is_words(option) ? "" : CLI::Formatter::make_option_opts(option);
  }
};

}  // namespace

std::shared_ptr<CLI::Formatter> make_help_formatter() { return std::make_shared<HelpFormatter>(); }

}  // namespace st
