// The messages of a chat and the tools it offers, as clients send them.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace st {

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON of an object, as it was written; or whatever stood in its place

  bool operator==(const ToolCall&) const = default;
};

struct Message {
  std::string role;  // "system", "user", "assistant" or "tool"
  std::string content;
  // Of content that came in several parts, which it has with line feeds between; else empty.
  std::vector<std::string> parts = {};
  std::string reasoning = {};        // of an assistant: what it thought before it wrote content
  std::vector<ToolCall> calls = {};  // of an assistant, after content
  std::string tool_call_id = {};     // of a tool: the call that this answers
  std::string name = {};             // of whoever speaks

  bool operator==(const Message&) const = default;
};

// A function that the model may call.
struct Tool {
  std::string name;        // 1..64 of A-Z a-z 0-9 _ . -
  std::string definition;  // JSON: {"type": "function", "function": {"name": ..., ...}}

  bool operator==(const Tool&) const = default;
};

// What a template makes a prompt of.
struct ChatRequest {
  std::vector<Message> messages;
  std::vector<Tool> tools = {};
  // Whether the prompt ends where an answer begins; empty: unless the last message is an
  // assistant's, which is then continued.
  std::optional<bool> generation_prompt = {};
  std::optional<bool> think = {};  // empty: as the template has it
  // More variables for the template: JSON of true, false, a number or a text.
  std::map<std::string, std::string> variables = {};
};

inline constexpr uint64_t kMaxRequestBytes = uint64_t{16} << 20;

// Members of OpenAI's and Ollama's requests: messages, tools, add_generation_prompt,
// chat_template_kwargs, reasoning_effort, think and enable_thinking; all others are left alone.
// Roles "developer" and "function" become "system" and "tool", content null becomes "", calls
// without an id get one. Throws Error(kInvalidData) that names the place: other roles, content that
// is no text, more than 128 tools or 512 KiB of them, names of tools or values of variables that
// may not be.
ChatRequest parse_chat_request(std::string_view text);
std::vector<Message> parse_messages(const nlohmann::ordered_json& messages);
std::vector<Tool> parse_tools(const nlohmann::ordered_json& tools);

// As parse_messages() reads it: what is empty is left out, but for role and content.
nlohmann::ordered_json message_json(const Message& message);

// "call_" and 24 letters: another one for each number.
std::string call_id(uint64_t number);

}  // namespace st
