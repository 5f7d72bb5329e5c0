#include "chat/generic_tools.h"

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace st {
namespace {

constexpr std::string_view kBefore =
    "You can use tools. To use one, write only a call in this form:\n"
    "<tool_call>\n{\"name\": \"NAME\", \"arguments\": {\"PARAMETER\": VALUE}}\n</tool_call>\n"
    "The result comes back in <tool_response></tool_response>. If no tool fits, answer in plain "
    "text.\n\nThe tools, one a line, with JSON schemas of their parameters:";

std::string explained(const std::vector<Tool>& tools) {
  std::string text(kBefore);
  for (const Tool& tool : tools) text += '\n' + tool.definition;
  return text;
}

void write_calls(Message& message) {
  for (const ToolCall& call : std::exchange(message.calls, {})) {
    if (!message.content.empty()) message.content += '\n';
    message.content +=
        fmt::format("<tool_call>\n{{\"name\": \"{}\", \"arguments\": {}}}\n</tool_call>", call.name,
                    call.arguments);
    message.parts.clear();
  }
}

}  // namespace

std::vector<Message> with_generic_tools(std::vector<Message> messages,
                                        const std::vector<Tool>& tools) {
  std::vector<Message> result;
  if (!tools.empty()) {
    result.push_back({"system", explained(tools)});
    if (!messages.empty() && messages[0].role == "system") {
      result[0].content = messages[0].content + "\n\n" + result[0].content;
      messages.erase(messages.begin());
    }
  }
  bool answers = false;  // the last message is made of results
  for (Message& message : messages) {
    const bool is_result = message.role == "tool";
    if (is_result) {
      message = {"user", "<tool_response>\n" + message.content + "\n</tool_response>"};
    }
    write_calls(message);
    if (is_result && answers) {
      result.back().content += '\n' + message.content;
    } else {
      result.push_back(std::move(message));
    }
    answers = is_result;
  }
  return result;
}

}  // namespace st
