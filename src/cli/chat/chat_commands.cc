#include "cli/chat/chat_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "chat/session_folder.h"
#include "cli/chat/chat.h"
#include "cli/chat/chat_settings.h"

namespace st {
namespace {

using Words = ChatCommand::Words;

constexpr ChatCommand kCommands[] = {
    {"/help", "/?", "", "this list", Words::kNone, &Chat::show_help},
    {"/exit", "/bye /quit", "", "leave; so does Ctrl-D", Words::kNone, &Chat::leave},
    {"/clear", "", "", "a new chat: forgets all but the system message, for good", Words::kNone,
     &Chat::clear},
    {"/regen", "", "", "another answer to the last message", Words::kNone, &Chat::regenerate},
    {"/undo", "", "", "take back the last message and its answer", Words::kNone, &Chat::undo},
    {"/edit", "", "[N]", "change your last message, or the Nth, and send it", Words::kNone,
     &Chat::edit},
    {"/system", "", "[TEXT]", "show or set the system message; 'none': without", Words::kNone,
     &Chat::system},
    {"/set", "", "[NAME VALUE]", "show or change settings: temperature, memory, ...",
     Words::kSettings, &Chat::set},
    {"/show", "", "[WHAT]", "messages, model, prompt, settings, template, tokens", Words::kShown,
     &Chat::show},
    {"/read", "", "FILE", "send a text file along with the next message; 'none'", Words::kFiles,
     &Chat::read_file},
    {"/save", "", "[NAME]", "keep the chat as a session, from now on", Words::kNone, &Chat::save},
    {"/load", "", "NAME", "go on with a session that was kept", Words::kSessions, &Chat::load},
    {"/sessions", "", "", "the sessions that were kept", Words::kNone, &Chat::sessions},
    {"/stats", "", "", "tokens, speed and memory so far", Words::kNone, &Chat::stats},
    {"/experts", "", "", "which experts are in memory, and how much used", Words::kNone,
     &Chat::experts},
    {"/copy", "", "", "the last answer to the clipboard of the terminal", Words::kNone,
     &Chat::copy},
};

constexpr std::string_view kShown[] = {"messages", "model",    "prompt",
                                       "settings", "template", "tokens"};

void keep_beginning_with(std::string_view word, std::vector<std::string>& words) {
  std::erase_if(words, [&](const std::string& one) { return !one.starts_with(word); });
  std::ranges::sort(words);
}

std::vector<std::string> command_names() {
  std::vector<std::string> names;
  for (const ChatCommand& command : kCommands) names.emplace_back(command.name);
  return names;
}

std::vector<std::string> setting_words(std::string_view before) {
  std::vector<std::string> words;
  const size_t space = before.find(' ');
  if (space == before.npos) {
    words.emplace_back("memory");
    for (const ChatSetting& setting : chat_settings()) words.push_back(setting.name);
    return words;
  }
  if (before.substr(0, space) == "memory") return {"none"};
  const auto& all = chat_settings();
  const auto found = std::ranges::find(all, before.substr(0, space), &ChatSetting::name);
  return found == all.end() ? words : found->values;
}

std::vector<std::string> session_names() {
  std::vector<std::string> names;
  try {
    for (const SessionInfo& session : list_sessions()) names.push_back(session.name);
  } catch (const Error&) {  // no folder for them
  }
  return names;
}

// Paths that begin with this one; folders end with a slash.
std::vector<std::string> paths(std::string_view word) {
  const size_t slash = word.rfind('/');
  const std::string folder(slash == word.npos ? "" : word.substr(0, slash + 1));
  std::vector<std::string> found;
  std::error_code ignored;
  const std::string opened = folder.empty() ? "." : home_expanded(folder);
  for (const auto& entry : std::filesystem::directory_iterator(opened, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool hidden = name.starts_with('.') && !word.substr(folder.size()).starts_with('.');
    if (hidden) continue;
    found.push_back(folder + name + (entry.is_directory(ignored) ? "/" : ""));
  }
  return found;
}

}  // namespace

std::span<const ChatCommand> chat_commands() { return kCommands; }
std::span<const std::string_view> shown_things() { return kShown; }

std::string home_expanded(std::string_view path) {
  const char* home = std::getenv("HOME");
  const bool below = path == "~" || path.starts_with("~/");
  return below && home ? home + std::string(path.substr(1)) : std::string(path);
}

const ChatCommand* find_chat_command(std::string_view name) {
  for (const ChatCommand& command : kCommands) {
    if (command.name == name) return &command;
    const std::string others = fmt::format(" {} ", command.others);
    if (others.find(fmt::format(" {} ", name)) != others.npos) return &command;
  }
  return nullptr;
}

std::string describe_chat_commands() {
  std::string text;
  for (const ChatCommand& command : kCommands) {
    std::string usage = fmt::format("{} {}", command.name, command.arguments);
    if (!command.others.empty()) usage = fmt::format("{}{} ", usage, command.others);
    text += fmt::format("  {:<19} {}\n", usage, command.help);
  }
  text += "  //...               a message that begins with /\n";
  return text;
}

Completion complete_chat_line(std::string_view line) {
  if (!line.starts_with('/') || line.starts_with("//") || line.find('\n') != line.npos) return {};
  Completion found;
  const size_t space = line.find(' ');
  if (space == line.npos) {
    found.words = command_names();
    keep_beginning_with(line, found.words);
    return found;
  }
  const ChatCommand* command = find_chat_command(line.substr(0, space));
  if (!command) return {};
  const std::string_view argument =
      line.substr(std::min(line.find_first_not_of(' ', space), line.size()));
  switch (command->words) {
    case Words::kNone:
      return {};
    case Words::kFiles:  // whose names may have spaces
      found.begin = line.size() - argument.size();
      found.words = paths(argument);
      break;
    case Words::kSessions:
      found.begin = line.rfind(' ') + 1;
      found.words = session_names();
      break;
    case Words::kSettings:
      found.begin = line.rfind(' ') + 1;
      found.words = setting_words(argument);
      break;
    case Words::kShown:
      found.begin = line.rfind(' ') + 1;
      found.words.assign(std::begin(kShown), std::end(kShown));
      break;
  }
  keep_beginning_with(line.substr(found.begin), found.words);
  return found;
}

}  // namespace st
