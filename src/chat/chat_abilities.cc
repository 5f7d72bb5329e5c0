#include "chat/chat_abilities.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace st {
namespace {

// Words that no template has, and that nothing done to a text takes apart.
const std::string kSystem = "qSYSq", kSystem2 = "qSYT2q", kUser = "qUSRq", kUser2 = "qUST2q",
                  kAssistant = "qASSq", kAssistant2 = "qAST2q", kTool = "qTLq", kKey = "qKEYq",
                  kValue = "qVALq", kResult = "qRESq", kMore = "qMORq";

Message says(const std::string& role, const std::string& content) { return {role, content}; }
Message system() { return says("system", kSystem); }
Message user() { return says("user", kUser); }
Message user2() { return says("user", kUser2); }
Message assistant() { return says("assistant", kAssistant); }

class Prober {
 public:
  explicit Prober(const ProbeChat& render) : render_(render) {}

  // Whether all words reach the prompt. Of contents in the form that the template takes.
  bool shows(ChatProbe probe, const std::vector<std::string>& words) const {
    probe.as_parts = as_parts;
    const auto text = render_(probe);
    return text && std::ranges::all_of(words, [&](const std::string& word) {
             return text->find(word) != std::string::npos;
           });
  }
  bool shows(std::vector<Message> messages, const std::vector<std::string>& words) const {
    return shows(ChatProbe{.messages = std::move(messages)}, words);
  }

  // In which forms the content of the first message, a word, reaches the prompt.
  ContentForms forms(std::vector<Message> messages) const {
    const auto takes = [&](size_t parts, const std::vector<std::string>& words) {
      const auto text = render_({.messages = messages, .as_parts = parts});
      const auto has = [&](std::string_view word) { return text->find(word) != text->npos; };
      // A list that is printed as such is not understood.
      return text && std::ranges::all_of(words, has) && !has("'type'") && !has("\"type\"");
    };
    const std::string word = messages.front().content;
    const size_t with_parts = std::max(as_parts, size_t{1});
    ContentForms forms = {.text = takes(0, {word}), .part = takes(with_parts, {word})};
    messages.front().parts = {word, kMore};
    forms.parts = takes(with_parts, {word, kMore});
    return forms;
  }

  std::optional<std::string> render(ChatProbe probe) const {
    probe.as_parts = as_parts;
    return render_(probe);
  }

  size_t as_parts = 0;  // all if the template takes no texts

 private:
  const ProbeChat& render_;
};

Tool probe_tool() {
  return {kTool, fmt::format(R"({{"type": "function", "function": {{"name": "{}", "description": )"
                             R"("Does it.", "parameters": {{"type": "object", "properties": )"
                             R"({{"a": {{"type": "string"}}}}, "required": ["a"]}}}}}})",
                             kTool)};
}

void find_tools(const Prober& prober, ChatAbilities& abilities) {
  abilities.tools = prober.shows({.messages = {user()}, .tools = {probe_tool()}}, {kTool});
  Message call = says("assistant", "");
  call.calls = {{call_id(0), kTool, fmt::format(R"({{"{}": "{}"}})", kKey, kValue)}};
  Message result = says("tool", kResult);
  result.tool_call_id = call.calls[0].id;
  result.name = kTool;
  ChatProbe probe = {.messages = {user(), call, result, assistant(), user2()}};
  const std::vector<std::string> words = {kTool, kKey, kValue};
  abilities.call_objects = prober.shows(probe, words);
  abilities.tool_role = prober.shows(probe, {kResult});
  probe.call_objects = false;
  abilities.calls = abilities.call_objects || prober.shows(probe, words);
  abilities.tool_role = abilities.tool_role || prober.shows(probe, {kResult});
}

std::string find_turn_end(const Prober& prober) {
  const auto text = prober.render({.messages = {user(), assistant()}});
  const size_t at = text ? text->rfind(kAssistant) : std::string::npos;
  return at == std::string::npos ? std::string() : text->substr(at + kAssistant.size());
}

bool has_thinking_switch(const Prober& prober) {
  ChatProbe probe = {.messages = {user()}, .think = true, .generation_prompt = true};
  const auto on = prober.render(probe);
  probe.think = false;
  const auto off = prober.render(probe);
  return on && off && *on != *off;
}

}  // namespace

ChatAbilities find_chat_abilities(const ProbeChat& render) {
  Prober prober(render);
  ChatAbilities abilities;
  abilities.content = prober.forms({user()});
  if (!abilities.content.text && abilities.content.part) prober.as_parts = SIZE_MAX;
  abilities.system = prober.forms({system(), user()});
  const Message system2 = says("system", kSystem2);
  abilities.second_system = prober.shows({system(), system2, user()}, {kSystem, kSystem2, kUser});
  abilities.later_system =
      prober.shows({user(), assistant(), system(), user2()}, {kUser, kSystem, kUser2});
  abilities.lone_system = prober.shows({system()}, {kSystem});
  abilities.same_role_twice =
      prober.shows({user(), user2()}, {kUser, kUser2}) &&
      prober.shows({user(), assistant(), says("assistant", kAssistant2), user2()},
                   {kAssistant, kAssistant2});
  abilities.assistant_first = prober.shows({assistant(), user()}, {kAssistant, kUser});
  find_tools(prober, abilities);
  abilities.thinking_switch = has_thinking_switch(prober);
  abilities.turn_end = find_turn_end(prober);
  return abilities;
}

namespace {

using Messages = std::vector<Message>;

// One blank line between.
void join(Message& to, const Message& more) {
  if (!to.content.empty() && !more.content.empty()) to.content += "\n\n";
  to.content += more.content;
  to.parts.clear();
}

void check_calls(const Messages& messages, const ChatAbilities& abilities) {
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!messages[i].calls.empty() && !abilities.calls) {
      fail(ErrorCode::kInvalidData, "messages[{}]: the chat template has no calls of tools", i);
    }
    if (messages[i].role == "tool" && !abilities.tool_role) {
      fail(ErrorCode::kInvalidData, "messages[{}]: the chat template has no results of tools", i);
    }
  }
}

void join_leading_systems(Messages& messages) {
  while (messages.size() > 1 && messages[0].role == "system" && messages[1].role == "system") {
    join(messages[0], messages[1]);
    messages.erase(messages.begin() + 1);
  }
}

// Puts the system messages from `first` on before the user's next text; without one they are it.
void hand_systems_to_user(Messages& messages, size_t first) {
  for (size_t i = messages.size(); i-- > first;) {
    if (messages[i].role != "system") continue;
    messages[i].role = "user";
    if (i + 1 == messages.size() || messages[i + 1].role != "user") continue;
    join(messages[i], messages[i + 1]);
    messages.erase(messages.begin() + static_cast<std::ptrdiff_t>(i) + 1);
  }
}

void join_neighbours(Messages& messages) {
  Messages joined;
  for (Message& message : messages) {
    const bool speaks = message.role == "user" || message.role == "assistant";
    if (!joined.empty() && speaks && joined.back().role == message.role &&
        joined.back().calls.empty()) {
      join(joined.back(), message);
      joined.back().calls = std::move(message.calls);
      if (joined.back().reasoning.empty()) joined.back().reasoning = std::move(message.reasoning);
    } else {
      joined.push_back(std::move(message));
    }
  }
  messages = std::move(joined);
}

}  // namespace

Messages adapt_messages(Messages messages, const ChatAbilities& abilities) {
  check_calls(messages, abilities);
  if (!abilities.second_system) join_leading_systems(messages);
  const bool leads = !messages.empty() && messages[0].role == "system";
  const bool alone = messages.size() == 1;
  const bool kept = leads && (alone ? abilities.lone_system : abilities.system.any());
  size_t leading = 0;
  while (kept && leading < messages.size() && messages[leading].role == "system") ++leading;
  if (!abilities.later_system || (leads && !kept)) hand_systems_to_user(messages, leading);
  if (!abilities.same_role_twice) join_neighbours(messages);
  if (!abilities.assistant_first && leading < messages.size() &&
      messages[leading].role == "assistant") {
    messages.insert(messages.begin() + static_cast<std::ptrdiff_t>(leading), Message{"user", ""});
  }
  return messages;
}

std::string describe(const ChatAbilities& abilities) {
  const auto yes = [](bool value) { return value ? "yes" : "no"; };
  const auto forms = [](const ContentForms& content) {
    if (!content.any()) return "no";
    if (content.text) return content.parts ? "text or parts" : "text";
    return content.parts ? "parts" : "one part";
  };
  std::string lines;
  const auto line = [&](std::string_view name, std::string_view value) {
    lines += fmt::format("{}: {}\n", name, value);
  };
  line("content", forms(abilities.content));
  line("system", forms(abilities.system));
  line("second system", yes(abilities.second_system));
  line("later system", yes(abilities.later_system));
  line("lone system", yes(abilities.lone_system));
  line("same role twice", yes(abilities.same_role_twice));
  line("assistant first", yes(abilities.assistant_first));
  line("tools", yes(abilities.tools));
  line("calls", !abilities.calls ? "no" : abilities.call_objects ? "as objects" : "as text");
  line("tool results", yes(abilities.tool_role));
  line("thinking switch", yes(abilities.thinking_switch));
  line("turn end", printable(abilities.turn_end));
  return lines;
}

}  // namespace st
