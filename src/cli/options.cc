#include "cli/options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/error.h"
#include "cli/cmd_start.h"
#include "cli/completion.h"
#include "cli/man_page.h"
#include "cli/option_values.h"
#include "cli/options_cli11.h"
#include "cli/pasted.h"

#ifndef ST_VERSION
#define ST_VERSION "unknown"
#endif

namespace st {

std::string option_name(const std::string& names) {
  const size_t begin = names.find("--");
  if (begin == std::string::npos) return names.substr(0, names.find(','));
  return names.substr(begin, names.find(',', begin) - begin);
}

void refuse_value(const std::string& names, const std::string& text, const std::string& wrong) {
  throw CLI::ValidationError(option_name(names), fmt::format("'{}': {}", printable(text), wrong));
}

CLI::Option* add_whole(CLI::App& app, const std::string& names, const std::string& help,
                       int64_t min, int64_t max, std::function<void(int64_t)> store) {
  return add_checked(app, names, help,
                     [=, store = std::move(store)](const std::string& text) {
                       int64_t value = 0;
                       std::string wrong = read_whole(text, {min, max}, value);
                       if (wrong.empty()) store(value);
                       return wrong;
                     })
      ->type_name(fmt::format("N[{}..{}]", min, max));
}

CLI::Option* add_decimal(CLI::App& app, const std::string& names, const std::string& help,
                         double min, double max, double least, std::function<void(double)> store) {
  return add_checked(app, names, help,
                     [=, store = std::move(store)](const std::string& text) {
                       double value = 0;
                       std::string wrong = read_decimal(text, min, max, least, value);
                       if (wrong.empty()) store(value);
                       return wrong;
                     })
      ->type_name(fmt::format("X[{}..{}]", min, max));
}

void add_offline(CLI::App& app, bool& offline) {
  app.add_flag("--offline", offline,
               "download nothing: a model by name must be here (or $HF_HUB_OFFLINE=1)");
}

namespace {

// An environment variable that gives an option where the command line does not.
struct Variable {
  const char* name;
  const char* option;
  std::vector<std::string_view> commands;
};

const Variable kEnvironment[] = {
    {"SMALLTHINKER_MODEL",
     "--model",
     {"chat", "run", "tokenize", "detokenize", "perplexity", "logits", "bench", "verify",
      "template"}},
    {"SMALLTHINKER_THREADS", "--threads", {"chat", "run", "perplexity", "logits", "bench"}},
    {"SMALLTHINKER_CPU", "--cpu", {"chat", "run", "perplexity", "logits", "bench", "verify"}},
};

class Parser {
 public:
  Parser() {
    app_.require_subcommand(0, 1);
    app_.formatter(make_help_formatter());  // and that of the commands
    app_.set_version_flag("-v,--version", "smallthinker " ST_VERSION);
    app_.set_help_flag("-h,--help", "show help and exit");
    // As in llama.cpp, where it is what scripts with defaults of their own rely on.
    app_.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    app_.allow_extras();  // they are told better below
    add(add_chat);
    add(add_run);
    add(add_convert);
    add(add_quantize);
    add(add_bundle);
    add(add_strip);
    add(add_synth);
    add(add_tokenize);
    add(add_detokenize);
    add(add_template);
    add(add_perplexity);
    add(add_imatrix);
    add(add_inspect);
    add(add_logits);
    add(add_bench);
    add(add_verify);
    add(add_cache_sim);
    add(add_pull);
    add(add_list);
    add(add_remove);
    add(add_session);
    CLI::App* completion =
        app_.add_subcommand("completion", "a script for shells: " + std::string(kCompletionHelp));
    add_checked(*completion, "shell", "which one",
                [this](const std::string& text) -> std::string {
                  if (std::ranges::count(kShells, text) == 0) return "want bash, zsh or fish";
                  shell_ = text;
                  return {};
                })
        ->required()
        ->type_name("bash|zsh|fish");
    commands_.push_back(
        {completion, [this] { return PrintArgs{completion_script(shell_, docs())}; }});
    commands_.push_back({app_.add_subcommand("man", "the manual page, for man -l -"),
                         [this] { return PrintArgs{man_page(docs(), ST_VERSION)}; }});
    commands_.push_back({app_.add_subcommand("version", "print the version"),
                         [] { return PrintArgs{"smallthinker " ST_VERSION "\n"}; }});
    CLI::App* help = app_.add_subcommand("help", "show help, also: help COMMAND");
    help->add_option("command", topic_, "command")->type_name("COMMAND");
    commands_.push_back({help, [this] { return PrintArgs{help_text()}; }});
    for (const Entry& entry : commands_) names_.push_back(entry.app->get_name());
  }

  CommandLine parse(std::vector<std::string> arguments) {
    find_command(arguments);
    if (arguments.empty()) return {StartArgs{}, {}};
    CommandLine line;
    const Entry* entry = nullptr;
    try {
      if (!arguments.empty()) entry = find(arguments.front());
      if (entry) arguments = translated(*entry->app, arguments, line.notes);
      std::ranges::reverse(arguments);  // CLI11 takes them from the back
      app_.parse(arguments);
      if (!entry) fail(ErrorCode::kInvalidUsage, "no command; {}", all_commands());
      complete(*entry->app);
      line.command = entry->command();
    } catch (const CLI::CallForHelp&) {
      return {PrintArgs{entry ? entry->app->help("smallthinker") : help_text()}, {}};
    } catch (const CLI::CallForVersion&) {
      return {PrintArgs{"smallthinker " ST_VERSION "\n"}, {}};
    } catch (const CLI::ParseError& e) {
      std::string message = e.what();
      std::ranges::replace(message, '\n', ' ');
      fail(ErrorCode::kInvalidUsage, "{}; {}", printable(message, 400), see_help(entry));
    } catch (const Error& e) {
      if (!entry || e.code() != ErrorCode::kInvalidUsage) throw;
      fail(ErrorCode::kInvalidUsage, "{}; {}", e.what(), see_help(entry));
    }
    if (lacks_model(*entry->app)) {
      fail(ErrorCode::kInvalidUsage, "chat needs a model: -m MODEL\n{}", describe_models());
    }
    return line;
  }

 private:
  struct Entry {
    CLI::App* app;
    std::function<Command()> command;  // as the parser left it
  };

  template <typename Args>
  void add(CLI::App* (*define)(CLI::App&, Args&)) {
    auto args = std::make_shared<Args>();
    CLI::App* app = define(app_, *args);
    commands_.push_back({app, [args] { return Command(*args); }});
  }

  const Entry* find(std::string_view name) const {
    const auto found = std::ranges::find_if(
        commands_, [&](const Entry& entry) { return entry.app->get_name() == name; });
    return found == commands_.end() ? nullptr : &*found;
  }

  // `smallthinker m.gguf ...` and `smallthinker -m m.gguf ...` are `run`, as llama.cpp's main
  // program is without commands.
  void find_command(std::vector<std::string>& arguments) const {
    if (arguments.empty() || find(arguments.front())) return;
    const std::string& first = arguments.front();
    const CLI::App& run = *find("run")->app;
    const bool option = first.starts_with('-') && first.size() > 1;
    if (option && app_.get_option_no_throw(first)) return;  // -h, -v
    if (option ? run.get_option_no_throw(first) || is_pasted_option(first) : names_file(first)) {
      arguments.insert(arguments.begin(), "run");
      return;
    }
    fail_unknown(first);
  }

  static bool names_file(const std::string& text) {
    return text.ends_with(".gguf") || text.ends_with(".safetensors") ||
           text.find('/') != std::string::npos || ::access(text.c_str(), F_OK) == 0;
  }

  std::vector<std::string> translated(const CLI::App& command,
                                      std::span<const std::string> arguments,
                                      std::vector<std::string>& notes) const {
    std::vector<std::string> options;
    for (const CLI::Option* option : command.get_options()) {
      for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
    }
    const auto lookup = [&](const std::string& name) {
      const CLI::Option* option = command.get_option_no_throw(name);
      return option ? option->get_items_expected_min() : -1;
    };
    std::vector<std::string> out = translate(arguments.subspan(1), lookup, options, notes);
    out.insert(out.begin(), arguments.front());
    return out;
  }

  std::vector<CommandDoc> docs() const {
    std::vector<CommandDoc> commands;
    for (const Entry& entry : commands_) commands.push_back(doc_of(*entry.app));
    return commands;
  }

  // What the parser cannot know.
  static void complete(CLI::App& app) {
    std::vector<std::string> extra = app.remaining();
    CLI::Option* model = app.get_option_no_throw("--model");
    if (const CLI::Option* words = app.get_option_no_throw("words")) {
      extra = words->results();
      if (!extra.empty() && model->count() == 0) {
        model->add_result(extra.front())->run_callback();
        extra.erase(extra.begin());
      }
      // `smallthinker m.gguf "Once upon a time"`.
      CLI::Option* prompt = app.get_option_no_throw("--prompt");
      if (extra.size() == 1 && prompt && prompt->count() == 0 &&
          app.get_option_no_throw("--file")->count() == 0) {
        prompt->add_result(extra.front())->run_callback();
        extra.clear();
      }
    }
    if (!extra.empty()) {
      fail(ErrorCode::kInvalidUsage, "'{}' belongs to no option{}",
           printable(fmt::format("{}", fmt::join(extra, " "))),
           app.get_option_no_throw("--prompt") ? ": quote a text, -p \"Once upon a time\"" : "");
    }
    for (const Variable& variable : kEnvironment) read_variable(variable, app);
    const bool lacks = model && model->count() == 0 && !runs_without_model(app);
    if (lacks && app.get_name() != "chat") {
      fail(ErrorCode::kInvalidUsage, "--model is required: -m FILE");
    }
  }

  static bool runs_without_model(const CLI::App& app) {
    for (const char* name : {"--probe", "--parse", "--template-file"}) {
      const CLI::Option* option = app.get_option_no_throw(name);
      if (option && option->count() > 0) return true;
    }
    return false;
  }

  // Of who wants to chat, which is answered with all the models there are.
  static bool lacks_model(const CLI::App& app) {
    return app.get_name() == "chat" && app.get_option("--model")->count() == 0;
  }

  static void read_variable(const Variable& variable, CLI::App& app) {
    const char* value = std::getenv(variable.name);
    CLI::Option* option = app.get_option_no_throw(variable.option);
    if (!value || *value == 0 || !option || option->count() > 0) return;
    if (std::ranges::count(variable.commands, app.get_name()) == 0) return;
    try {
      option->add_result(value)->run_callback();
    } catch (const CLI::ParseError& e) {
      fail(ErrorCode::kInvalidUsage, "{}: {}", variable.name, e.what());
    }
  }

  std::string help_text() const {
    if (topic_.empty()) {  // app_.help() would show the help of `help`
      return app_.get_formatter()->make_help(&app_, "smallthinker", CLI::AppFormatMode::Normal);
    }
    if (const Entry* entry = find(topic_)) return entry->app->help("smallthinker");
    fail_unknown(topic_);
  }

  [[noreturn]] void fail_unknown(const std::string& command) const {
    const std::string meant = nearest(command, names_);
    std::string remark = meant.empty() ? "" : ", did you mean '" + meant + "'?";
    if (command == "serve" || command == "server") {
      remark = ": there is no server yet, 'chat' talks at a terminal or through a pipe";
    }
    fail(ErrorCode::kInvalidUsage, "no command '{}'{}; {}", printable(command), remark,
         all_commands());
  }

  std::string all_commands() const { return fmt::format("commands: {}", fmt::join(names_, ", ")); }

  static std::string see_help(const Entry* entry) {
    return entry ? fmt::format("see 'smallthinker {} --help'", entry->app->get_name())
                 : "see 'smallthinker help'";
  }

  CLI::App app_{"SmallThinker: sparse mixture-of-experts language models on ordinary devices",
                "smallthinker"};
  std::vector<Entry> commands_;
  std::vector<std::string> names_;
  std::string topic_, shell_;
};

}  // namespace

CommandLine parse_command_line(std::vector<std::string> arguments) {
  return Parser().parse(std::move(arguments));
}

}  // namespace st
