// The commands of a chat: the one list that help, completion and the command line's help are made
// of.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "cli/terminal/line_editor.h"

namespace st {

class Chat;

struct ChatCommand {
  std::string_view name;       // "/exit"
  std::string_view others;     // "/bye /quit"
  std::string_view arguments;  // "[N]"
  std::string_view help;
  enum class Words : uint8_t {
    kNone,
    kFiles,
    kSessions,
    kSettings,
    kShown
  } words;  // of the argument
  void (Chat::*act)(const std::string& argument);
};
std::span<const ChatCommand> chat_commands();

// nullptr: there is none of this name.
const ChatCommand* find_chat_command(std::string_view name);

// What /show can show.
std::span<const std::string_view> shown_things();

// "~/notes" -> "/home/ann/notes".
std::string home_expanded(std::string_view path);

// A line for each, and one about lines that begin with two slashes.
std::string describe_chat_commands();

// What the last word of a line may become.
Completion complete_chat_line(std::string_view line);

}  // namespace st
