#include "chat/message.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace st {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxTools = 128;
constexpr size_t kMaxToolBytes = size_t{512} << 10;
constexpr size_t kMaxNameBytes = 64;
constexpr size_t kMaxVariableBytes = 256;

// A member that is there and not null.
const Json* member(const Json& object, std::string_view key) {
  if (!object.is_object()) {
    fail(ErrorCode::kInvalidData, "want an object, got {}", show_json(object));
  }
  const auto it = object.find(std::string(key));
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string text_of(const Json& value, std::string_view key) {
  if (!value.is_string()) {
    fail(ErrorCode::kInvalidData, "{}: want a string, got {}", key, show_json(value));
  }
  return value.get<std::string>();
}

// The first of some members that is there; empty if none is.
std::string text_member(const Json& object, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    if (const Json* value = member(object, key)) return text_of(*value, key);
  }
  return {};
}

// Gives each element to `take`, with its place in front of errors.
template <typename Take>
void for_each(const Json& list, std::string_view name, const Take& take) {
  if (!list.is_array()) {
    fail(ErrorCode::kInvalidData, "{}: want a list, got {}", name, show_json(list));
  }
  for (size_t i = 0; i < list.size(); ++i) {
    with_context(fmt::format("{}[{}]", name, i), [&] { take(list[i]); });
  }
}

std::string part_text(const Json& part) {
  if (part.is_string()) return part.get<std::string>();
  const std::string type = text_member(part, {"type"});
  if (type.find("image") != std::string::npos) {
    fail(ErrorCode::kInvalidData, "image input is not supported");
  }
  if (type != "text" && type != "input_text") {
    fail(ErrorCode::kInvalidData, "type: '{}', only 'text' is supported", printable(type));
  }
  const Json* text = member(part, "text");
  if (text == nullptr) fail(ErrorCode::kInvalidData, "text: missing");
  return text_of(*text, "text");
}

void read_content(const Json& object, Message& message) {
  const Json* content = member(object, "content");
  if (content == nullptr) return;
  if (!content->is_array()) {
    message.content = text_of(*content, "content");
    return;
  }
  for_each(*content, "content",
           [&](const Json& part) { message.parts.push_back(part_text(part)); });
  for (const std::string& part : message.parts) {
    if (&part != message.parts.data()) message.content += '\n';
    message.content += part;
  }
  if (message.parts.size() < 2) message.parts.clear();
}

ToolCall read_call(const Json& value) {
  const Json* function = member(value, "function");
  if (function == nullptr) fail(ErrorCode::kInvalidData, "function: missing");
  ToolCall call;
  call.id = text_member(value, {"id"});
  call.name = with_context("function", [&] { return text_member(*function, {"name"}); });
  if (call.name.empty()) fail(ErrorCode::kInvalidData, "function.name: missing");
  const Json* arguments = member(*function, "arguments");
  if (arguments == nullptr) {
    call.arguments = "{}";
  } else {
    call.arguments = arguments->is_string() ? arguments->get<std::string>() : arguments->dump();
  }
  return call;
}

std::string read_role(const Json& object) {
  const std::string role = text_member(object, {"role"});
  if (role == "developer") return "system";
  if (role == "function") return "tool";
  constexpr std::array<std::string_view, 4> kRoles = {"system", "user", "assistant", "tool"};
  if (std::ranges::count(kRoles, role) == 0) {
    fail(ErrorCode::kInvalidData, "role: '{}', want system, user, assistant or tool",
         printable(role));
  }
  return role;
}

Message read_message(const Json& object) {
  Message message;
  message.role = read_role(object);
  read_content(object, message);
  message.name = text_member(object, {"name", "tool_name"});
  if (message.role == "assistant") {
    message.reasoning = text_member(object, {"reasoning_content", "thinking", "reasoning"});
    if (const Json* calls = member(object, "tool_calls")) {
      for_each(*calls, "tool_calls",
               [&](const Json& call) { message.calls.push_back(read_call(call)); });
    }
  }
  if (message.role == "tool") message.tool_call_id = text_member(object, {"tool_call_id"});
  return message;
}

// Ollama's calls have no ids; their answers come in the same order.
void number_calls(std::vector<Message>& messages) {
  uint64_t number = 0;
  std::vector<std::string> open;  // calls that have no answer yet, the first one last
  for (Message& message : messages) {
    if (!message.calls.empty()) open.clear();
    for (ToolCall& call : message.calls) {
      if (call.id.empty()) call.id = call_id(number++);
      open.insert(open.begin(), call.id);
    }
    if (message.role != "tool") continue;
    if (message.tool_call_id.empty() && !open.empty()) message.tool_call_id = open.back();
    std::erase(open, message.tool_call_id);
  }
}

void check_tool_name(const std::string& name) {
  const auto may = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  };
  if (name.empty() || name.size() > kMaxNameBytes || !std::ranges::all_of(name, may)) {
    fail(ErrorCode::kInvalidData, "function.name: '{}', want 1..{} of A-Z a-z 0-9 _ . -",
         printable(name), kMaxNameBytes);
  }
}

Tool read_tool(const Json& value) {
  const std::string type = text_member(value, {"type"});
  if (!type.empty() && type != "function") {
    fail(ErrorCode::kInvalidData, "type: '{}', only 'function' is supported", printable(type));
  }
  const Json* function = member(value, "function");
  if (function == nullptr) fail(ErrorCode::kInvalidData, "function: missing");
  Tool tool;
  tool.name = with_context("function", [&] { return text_member(*function, {"name"}); });
  check_tool_name(tool.name);
  tool.definition = value.dump();
  return tool;
}

std::optional<bool> read_bool(const Json& object, std::string_view key) {
  const Json* value = member(object, key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    fail(ErrorCode::kInvalidData, "{}: want true or false, got {}", key, show_json(*value));
  }
  return value->get<bool>();
}

// Levels of thinking have names; "none" is off.
std::optional<bool> read_think(const Json& request) {
  for (const std::string_view key : {"enable_thinking", "think", "reasoning_effort"}) {
    const Json* value = member(request, key);
    if (value == nullptr) continue;
    if (value->is_boolean()) return value->get<bool>();
    return text_of(*value, key) != "none";
  }
  return std::nullopt;
}

std::map<std::string, std::string> read_variables(const Json& object) {
  // Those that are said otherwise, or nobody's business.
  constexpr std::array<std::string_view, 7> kTaken = {
      "messages",      "tools",   "bos_token", "eos_token", "add_generation_prompt",
      "chat_template", "tokenize"};
  if (!object.is_object())
    fail(ErrorCode::kInvalidData, "want an object, got {}", show_json(object));
  std::map<std::string, std::string> variables;
  for (const auto& [name, value] : object.items()) {
    if (std::ranges::count(kTaken, name) > 0) {
      fail(ErrorCode::kInvalidData, "{}: may not be set here", name);
    }
    const bool is_text = value.is_string();
    if (!is_text && !value.is_boolean() && !value.is_number()) {
      fail(ErrorCode::kInvalidData, "{}: want true, false, a number or a text, got {}",
           printable(name), show_json(value));
    }
    if (is_text && value.get_ref<const std::string&>().size() > kMaxVariableBytes) {
      fail(ErrorCode::kInvalidData, "{}: text of more than {} bytes", printable(name),
           kMaxVariableBytes);
    }
    variables[name] = value.dump();
  }
  return variables;
}

}  // namespace

std::vector<Message> parse_messages(const Json& messages) {
  std::vector<Message> result;
  for_each(messages, "messages",
           [&](const Json& message) { result.push_back(read_message(message)); });
  number_calls(result);
  return result;
}

std::vector<Tool> parse_tools(const Json& tools) {
  std::vector<Tool> result;
  size_t bytes = 0;
  for_each(tools, "tools", [&](const Json& value) {
    Tool tool = read_tool(value);
    if (std::ranges::count(result, tool.name, &Tool::name) > 0) {
      fail(ErrorCode::kInvalidData, "function.name: '{}' is there twice", tool.name);
    }
    bytes += tool.definition.size();
    if (result.size() == kMaxTools || bytes > kMaxToolBytes) {
      fail(ErrorCode::kInvalidData, "more than {} tools, or {} bytes of them", kMaxTools,
           kMaxToolBytes);
    }
    result.push_back(std::move(tool));
  });
  return result;
}

ChatRequest parse_chat_request(std::string_view text) {
  const Json object = parse_ordered_json(text);
  ChatRequest request;
  const Json* messages = member(object, "messages");
  if (messages == nullptr) fail(ErrorCode::kInvalidData, "messages: missing");
  if (member(object, "chat_template") != nullptr) {
    fail(ErrorCode::kInvalidData, "chat_template: a request brings none");
  }
  request.messages = parse_messages(*messages);
  if (request.messages.empty()) fail(ErrorCode::kInvalidData, "messages: none");
  if (const Json* tools = member(object, "tools")) request.tools = parse_tools(*tools);
  request.generation_prompt = read_bool(object, "add_generation_prompt");
  request.think = read_think(object);
  if (const Json* variables = member(object, "chat_template_kwargs")) {
    request.variables =
        with_context("chat_template_kwargs", [&] { return read_variables(*variables); });
    const auto think = request.variables.extract("enable_thinking");
    if (think) request.think = think.mapped() != "false";
  }
  return request;
}

Json message_json(const Message& message) {
  Json object = {{"role", message.role}, {"content", message.content}};
  if (!message.parts.empty()) {
    object["content"] = Json::array();
    for (const std::string& part : message.parts) {
      object["content"].push_back({{"type", "text"}, {"text", part}});
    }
  }
  if (!message.reasoning.empty()) object["reasoning_content"] = message.reasoning;
  for (const ToolCall& call : message.calls) {
    object["tool_calls"].push_back(
        {{"id", call.id},
         {"type", "function"},
         {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  if (!message.tool_call_id.empty()) object["tool_call_id"] = message.tool_call_id;
  if (!message.name.empty()) object["name"] = message.name;
  return object;
}

std::string call_id(uint64_t number) {
  std::string id = "call_";
  for (int i = 0; i < 24; ++i) {
    // Knuth's MMIX generator, whose high bits depend on all bits of the number.
    number = number * 6364136223846793005u + 1442695040888963407u;
    id += static_cast<char>('a' + (number >> 32) % 26);
  }
  return id;
}

}  // namespace st
