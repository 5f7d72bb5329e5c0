// What a chat template can, found out by rendering small chats and looking for their words.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "chat/message.h"

namespace st {

// How the content of messages may reach a template.
struct ContentForms {
  bool text = false;
  bool part = false;   // a list of one part
  bool parts = false;  // a list of several
  bool any() const { return text || part || parts; }
};

struct ChatAbilities {
  ContentForms content;          // of all messages but
  ContentForms system;           // a system message, first of all
  bool second_system = false;    // another one after it
  bool later_system = false;     // one between the turns
  bool lone_system = false;      // one and nothing else
  bool same_role_twice = false;  // two messages of the user, or the assistant, in a row
  bool assistant_first = false;  // an assistant's message before any of the user's
  bool tools = false;            // the model learns which tools there are
  bool calls = false;            // and which it has called,
  bool call_objects = false;     //   with arguments as an object, else as text
  bool tool_role = false;        // and what came of it
  bool thinking_switch = false;  // thinking may be turned off or on
  std::string turn_end;          // what follows an assistant's text
};

// How a chat is rendered, or none if the template refuses it.
struct ChatProbe {
  std::vector<Message> messages;
  std::vector<Tool> tools = {};
  std::optional<bool> think = {};
  bool generation_prompt = false;
  size_t as_parts = 0;  // of so many messages, the first ones, contents are lists
  bool call_objects = true;
};
using ProbeChat = std::function<std::optional<std::string>(const ChatProbe&)>;

ChatAbilities find_chat_abilities(const ProbeChat& render);

// The messages as such a template takes them, saying the same: system messages are joined, or put
// before the next text of the user; neighbours of one role are joined; before an assistant who
// speaks first the user says nothing. Throws Error(kInvalidData) "messages[i]: ..." for calls and
// their results if the template has none.
std::vector<Message> adapt_messages(std::vector<Message> messages, const ChatAbilities& abilities);

// One "name: value" a line, for people.
std::string describe(const ChatAbilities& abilities);

}  // namespace st
