#include "cli/completion.h"

#include <fmt/format.h>

#include <algorithm>

namespace st {
namespace {

// In single quotes, in which nothing but they means anything ...
std::string posix_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string(R"('\'')") : std::string(1, c);
  return out + "'";
}

// ... or, in fish, nothing but they and backslashes.
std::string fish_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

// "on|off|auto", but not "NAME|FILE".
bool is_choice(std::string_view value) {
  return value.find('|') != value.npos &&
         std::ranges::none_of(value, [](char c) { return c >= 'A' && c <= 'Z'; });
}

// A sentence is enough where a line is all there is.
std::string short_help(const std::string& help) {
  constexpr size_t kWidth = 72;
  const std::string text = help.substr(0, help.find_first_of(";\n"));
  if (text.size() <= kWidth) return text;
  return text.substr(0, text.rfind(' ', kWidth)) + " ...";
}

std::vector<std::string> command_names(std::span<const CommandDoc> commands) {
  std::vector<std::string> names;
  for (const CommandDoc& command : commands) names.push_back(command.name);
  return names;
}

// The options of a command that take a value, or none, as words.
std::string option_words(const CommandDoc& command) {
  std::vector<std::string> words;
  for (const OptionDoc& option : command.options) {
    words.insert(words.end(), option.names.begin(), option.names.end());
  }
  return fmt::format("{}", fmt::join(words, " "));
}

// ---- bash ----

std::string bash_action(const OptionDoc& option) {
  switch (completes(option)) {
    case Completes::kFiles:
      return "files";
    case Completes::kModels:
      return "models";
    case Completes::kSessions:
      return "sessions";
    case Completes::kCommands:
      return "commands";
    case Completes::kChoices:
      return posix_quoted("choices " + choices(option));
    case Completes::kNothing:
      break;
  }
  return "nothing";
}

// "OPTION|OPTION) value=ACTION ;;" for the options of a command that take a value, and the actions
// of its first argument and of those behind.
std::string bash_case(const CommandDoc& command) {
  std::string out = fmt::format("    {})\n      options='{}'\n      case $2 in\n", command.name,
                                option_words(command));
  std::string first, rest = "nothing";
  for (const OptionDoc& option : command.options) {
    const std::string action = bash_action(option);
    if (option.names.empty()) {
      if (first.empty()) first = action;
      if (action != "nothing") rest = action;
    } else if (!option.value.empty()) {
      out += fmt::format("        {}) value={} ;;\n", fmt::join(option.names, "|"), action);
    }
  }
  return out + fmt::format("        {}) argument={} ;;\n        *) argument={} ;;\n      esac ;;\n",
                           command.name, first.empty() ? "nothing" : first, rest);
}

constexpr std::string_view kBash = R"sh(
_smallthinker_reply() {  # what, word
  case $1 in
    files) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$2") ;;
    models)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(
        compgen -f -- "$2"
        compgen -W "$(smallthinker ls 2>/dev/null | cut -d ' ' -f 1)" -- "$2") ;;
    commands) mapfile -t COMPREPLY < <(compgen -W "$_smallthinker_commands" -- "$2") ;;
    sessions)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(
        compgen -f -- "$2"
        compgen -W "$(smallthinker session ls 2>/dev/null | cut -d ' ' -f 1)" -- "$2") ;;
    choices\ *) mapfile -t COMPREPLY < <(compgen -W "${1#choices }" -- "$2") ;;
  esac
}

_smallthinker() {
  local line=${COMP_LINE:0:COMP_POINT} word before options value argument
  word=${line##*[[:space:]]}
  before=${line%"$word"}
  before=${before%"${before##*[![:space:]]}"}
  COMPREPLY=()
  if [[ $before != *[[:space:]]* ]]; then
    if [[ $word = -* ]]; then
      mapfile -t COMPREPLY < <(compgen -W '--help --version' -- "$word")
    else
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(
        compgen -W "$_smallthinker_commands" -- "$word"
        compgen -f -X '!*.gguf' -- "$word")
    fi
    return
  fi
  _smallthinker_words "${COMP_WORDS[1]}" "${before##*[[:space:]]}"
  if [[ $value ]]; then
    _smallthinker_reply "$value" "$word"
  elif [[ $word = -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options --help" -- "$word")
  else
    _smallthinker_reply "$argument" "$word"
  fi
  # Of a word with a colon, bash replaces only what is behind that.
  if [[ $COMP_WORDBREAKS = *:* && $word = *:* ]]; then
    local -i i
    for ((i = 0; i < ${#COMPREPLY[@]}; ++i)); do
      COMPREPLY[i]=${COMPREPLY[i]#"${word%"${word##*:}"}"}
    done
  fi
}
complete -F _smallthinker smallthinker
)sh";

std::string bash_script(std::span<const CommandDoc> commands) {
  std::string cases;
  for (const CommandDoc& command : commands) cases += bash_case(command);
  return fmt::format(
      "# bash completion of smallthinker\n_smallthinker_commands='{}'\n\n"
      "_smallthinker_words() {{  # command, what is before the word\n"
      "  options= value= argument=files\n  case $1 in\n{}  esac\n}}\n{}",
      fmt::join(command_names(commands), " "), cases, kBash);
}

// ---- zsh ----

// What _arguments takes as text: brackets and colons mean something there.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("[]:\\").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_action(const OptionDoc& option) {
  switch (completes(option)) {
    case Completes::kFiles:
      return "_files";
    case Completes::kModels:
      return "_smallthinker_models";
    case Completes::kSessions:
      return "_smallthinker_sessions";
    case Completes::kCommands:
      return "_smallthinker_commands";
    case Completes::kChoices:
      return fmt::format("({})", choices(option));
    case Completes::kNothing:
      break;
  }
  return " ";
}

std::string zsh_option(const OptionDoc& option) {
  const std::string action = fmt::format("{}:{}", zsh_text(option.value), zsh_action(option));
  if (option.names.empty()) {
    return posix_quoted(fmt::format("{}:{}", option.repeats ? "*" : "", action));
  }
  std::string out;
  for (const std::string& name : option.names) {
    std::string text = fmt::format("{}[{}]", name, zsh_text(short_help(option.help)));
    if (!option.value.empty()) text += ":" + action;
    out += (out.empty() ? "" : " ") + posix_quoted((option.repeats ? "*" : "") + text);
  }
  return out;
}

constexpr std::string_view kZsh = R"sh(
_smallthinker_models() {
  local -a models
  models=(${(f)"$(smallthinker ls 2>/dev/null | cut -d ' ' -f 1)"})
  _alternative 'models:model:compadd -a models' 'files:file:_files'
}

_smallthinker_sessions() {
  local -a sessions
  sessions=(${(f)"$(smallthinker session ls 2>/dev/null | cut -d ' ' -f 1)"})
  _alternative 'sessions:session:compadd -a sessions' 'files:file:_files -g "*.stsession"'
}

_smallthinker() {
  if (( CURRENT == 2 )); then
    _alternative 'commands:command:_smallthinker_commands' 'files:file:_files -g "*.gguf"'
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  _smallthinker_arguments $command
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _smallthinker "$@"
else
  compdef _smallthinker smallthinker
fi
)sh";

std::string zsh_script(std::span<const CommandDoc> commands) {
  std::string listed, cases;
  for (const CommandDoc& command : commands) {
    listed += fmt::format("    {}\n", posix_quoted(command.name + ":" + short_help(command.help)));
    cases += fmt::format("    {})\n      _arguments -s '--help[show help]'", command.name);
    for (const OptionDoc& option : command.options) cases += " \\\n        " + zsh_option(option);
    cases += " ;;\n";
  }
  return fmt::format(
      "#compdef smallthinker\n# zsh completion of smallthinker\n\n"
      "_smallthinker_commands() {{\n  local -a commands\n  commands=(\n{}  )\n"
      "  _describe -t commands command commands\n}}\n\n"
      "_smallthinker_arguments() {{\n  case $1 in\n{}    *) _files ;;\n  esac\n}}\n{}",
      listed, cases, kZsh);
}

// ---- fish ----

std::string fish_action(const OptionDoc& option) {
  switch (completes(option)) {
    case Completes::kFiles:
      return " -F";
    case Completes::kModels:
      return " -F -a '(__smallthinker_models)'";
    case Completes::kSessions:
      return " -F -a '(__smallthinker_sessions)'";
    case Completes::kCommands:
      return " -f -a '$__smallthinker_commands'";
    case Completes::kChoices:
      return fmt::format(" -f -a '{}'", choices(option));
    case Completes::kNothing:
      break;
  }
  return " -f";
}

std::string fish_option(const CommandDoc& command, const OptionDoc& option) {
  std::string out =
      fmt::format("complete -c smallthinker -n '__fish_seen_subcommand_from {}'", command.name);
  if (option.names.empty()) return out + fish_action(option) + "\n";
  for (const std::string& name : option.names) {
    out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!option.value.empty()) out += fmt::format(" -r{}", fish_action(option));
  return out + " -d " + fish_quoted(short_help(option.help)) + "\n";
}

std::string fish_script(std::span<const CommandDoc> commands) {
  const std::string names = fmt::format("{}", fmt::join(command_names(commands), " "));
  std::string out = fmt::format(
      "# fish completion of smallthinker\n"
      "set -g __smallthinker_commands {0}\n"
      "function __smallthinker_models\n"
      "  smallthinker ls 2>/dev/null | string replace -r ' .*' ''\nend\n"
      "function __smallthinker_sessions\n"
      "  smallthinker session ls 2>/dev/null | string replace -r ' .*' ''\nend\n"
      "complete -c smallthinker -l help -d 'show help'\n"
      "complete -c smallthinker -n 'not __fish_seen_subcommand_from {0}' -l version "
      "-d 'print the version'\n",
      names);
  for (const CommandDoc& command : commands) {
    out += fmt::format(
        "complete -c smallthinker -n 'not __fish_seen_subcommand_from {}' -a {} -d {}\n", names,
        command.name, fish_quoted(short_help(command.help)));
  }
  for (const CommandDoc& command : commands) {
    for (const OptionDoc& option : command.options) out += fish_option(command, option);
  }
  return out;
}

}  // namespace

Completes completes(const OptionDoc& option) {
  const std::string& value = option.value;
  if (value == "MODEL") return Completes::kModels;
  if (value == "COMMAND") return Completes::kCommands;
  if (value == "SESSION") return Completes::kSessions;
  if (is_choice(value)) return Completes::kChoices;
  for (const std::string_view files : {"FILE", "PATH", "IN", "OUT", "HF_DIR", "FILE.npy"}) {
    if (value == files) return Completes::kFiles;
  }
  return Completes::kNothing;
}

std::string choices(const OptionDoc& option) {
  std::string words = option.value;
  std::ranges::replace(words, '|', ' ');
  return words;
}

std::string completion_script(std::string_view shell, std::span<const CommandDoc> commands) {
  if (shell == "bash") return bash_script(commands);
  return shell == "zsh" ? zsh_script(commands) : fish_script(commands);
}

}  // namespace st
