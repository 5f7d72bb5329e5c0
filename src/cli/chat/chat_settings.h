// What a user of a chat can set while it goes on.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/session.h"

namespace st {

struct ChatSettings {
  SessionOptions answer;
  std::optional<bool> think;  // empty: as the template has it
  bool timings = true;
};

struct ChatSetting {
  std::string name, help;
  std::vector<std::string> values;  // if there are few
};
// All but the budget of memory, which belongs to the engine.
const std::vector<ChatSetting>& chat_settings();

// Throws Error(kInvalidUsage) for a name or a value that is none.
void change(ChatSettings& settings, std::string_view name, const std::string& value);
std::string value_of(const ChatSettings& settings, std::string_view name);

// What was changed in a chat, by name, as it was typed: the text that goes with a chat which is
// kept, JSON of an object, and back. Throws Error(kInvalidData).
using ChangedSettings = std::map<std::string, std::string>;
std::string format_settings(const ChangedSettings& settings);
ChangedSettings parse_settings(std::string_view text);

// "on", "off" or "auto"; returns what is wrong, or nothing.
std::string read_think(std::string_view text, std::optional<bool>& think);

}  // namespace st
