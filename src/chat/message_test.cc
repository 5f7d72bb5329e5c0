#include "chat/message.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "support/shipped.h"

namespace st {
namespace {

using Json = nlohmann::ordered_json;

std::string error_of(const std::string& request) {
  try {
    parse_chat_request(request);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidData);
    return e.what();
  }
  return "no error";
}

std::vector<Message> messages(const std::string& list) {
  return parse_chat_request("{\"messages\": " + list + "}").messages;
}

TEST(Messages, ContentAsClientsSendIt) {
  using M = std::vector<Message>;
  EXPECT_EQ(messages(R"([{"role": "user", "content": "a"}])"), (M{{"user", "a"}}));
  EXPECT_EQ(messages(R"([{"role": "user", "content": null}, {"role": "assistant"}])"),
            (M{{"user", ""}, {"assistant", ""}}));
  EXPECT_EQ(messages(R"([{"role": "user", "content": [{"type": "text", "text": "a"},
                         {"type": "input_text", "text": "b\n"}, "c"]}])"),
            (M{{.role = "user", .content = "a\nb\n\nc", .parts = {"a", "b\n", "c"}}}));
  EXPECT_EQ(messages(R"([{"role": "tool", "content": [{"type": "text", "text": "a"}]}])"),
            (M{{"tool", "a"}}));
  EXPECT_EQ(messages(R"([{"role": "user", "content": []}])"), (M{{"user", ""}}));
}

TEST(Messages, RolesHaveTheirModernNames) {
  const auto role = [](const std::string& name) {
    return messages(R"([{"content": "", "role": ")" + name + "\"}]").front().role;
  };
  EXPECT_EQ(role("developer"), "system");
  EXPECT_EQ(role("function"), "tool");
  for (const std::string name : {"system", "user", "assistant", "tool"}) {
    EXPECT_EQ(role(name), name);
  }
}

TEST(Messages, CallsHaveIdsAndAnswersTheirs) {
  const auto list = messages(R"([
    {"role": "assistant", "content": "", "tool_calls": [
      {"function": {"name": "f", "arguments": {"z": 1, "a": [1.0, null]}}},
      {"id": "call_1", "type": "function", "function": {"name": "g", "arguments": "{\"b\":  2}"}},
      {"function": {"name": "h"}}]},
    {"role": "tool", "tool_name": "f", "content": "F"},
    {"role": "tool", "tool_call_id": "call_1", "name": "g", "content": "G"},
    {"role": "tool", "content": "H"},
    {"role": "tool", "content": "?"}])");
  ASSERT_EQ(list[0].calls.size(), 3u);
  EXPECT_EQ(list[0].calls[0], (ToolCall{call_id(0), "f", R"({"z":1,"a":[1.0,null]})"}));
  EXPECT_EQ(list[0].calls[1], (ToolCall{"call_1", "g", "{\"b\":  2}"}));
  EXPECT_EQ(list[0].calls[2], (ToolCall{call_id(1), "h", "{}"}));
  EXPECT_EQ(list[1],
            (Message{.role = "tool", .content = "F", .tool_call_id = call_id(0), .name = "f"}));
  EXPECT_EQ(list[2].tool_call_id, "call_1");
  EXPECT_EQ(list[3].tool_call_id, call_id(1));
  EXPECT_EQ(list[4].tool_call_id, "");
}

TEST(Messages, ReasoningHasThreeNames) {
  for (const std::string key : {"reasoning_content", "thinking", "reasoning"}) {
    const auto list =
        messages(R"([{"role": "assistant", "content": "4", ")" + key + R"(": "2+2"}])");
    EXPECT_EQ(list.front().reasoning, "2+2");
    // Only an assistant thinks.
    EXPECT_EQ(messages(R"([{"role": "user", ")" + key + R"(": "2+2"}])").front().reasoning, "");
  }
}

TEST(ChatRequests, WhatIsSaidBesideMessages) {
  const auto request = [](const std::string& more) {
    return parse_chat_request(R"({"messages": [{"role": "user"}], "model": "any")" + more + "}");
  };
  EXPECT_EQ(request("").generation_prompt, std::nullopt);
  EXPECT_EQ(request(R"(, "add_generation_prompt": false)").generation_prompt, false);
  EXPECT_EQ(request("").think, std::nullopt);
  EXPECT_EQ(request(R"(, "think": false)").think, false);
  EXPECT_EQ(request(R"(, "think": "low")").think, true);
  EXPECT_EQ(request(R"(, "enable_thinking": true, "reasoning_effort": "none")").think, true);
  EXPECT_EQ(request(R"(, "reasoning_effort": "none")").think, false);
  EXPECT_EQ(request(R"(, "reasoning_effort": "high")").think, true);
  const auto variable =
      request(R"(, "think": true, "chat_template_kwargs": {"enable_thinking": false})");
  EXPECT_EQ(variable.think, false);
  EXPECT_TRUE(variable.variables.empty());
  EXPECT_EQ(request(R"(, "tools": [])").tools, std::vector<Tool>());
  EXPECT_EQ(request(R"(, "tools": null)").tools, std::vector<Tool>());
  EXPECT_EQ(
      request(R"(, "tools": [{"type": "function", "function":
                     {"name": "f-1.x_Y", "parameters": {"b": 1, "a": {}}}}])")
          .tools,
      (std::vector<Tool>{
          {"f-1.x_Y",
           R"({"type":"function","function":{"name":"f-1.x_Y","parameters":{"b":1,"a":{}}}})"}}));
  EXPECT_EQ(request(R"(, "chat_template_kwargs": {"a": true, "b": 1.5, "c": "x\n"})").variables,
            (std::map<std::string, std::string>{{"a", "true"}, {"b", "1.5"}, {"c", "\"x\\n\""}}));
}

TEST(ChatRequests, NamesWhatIsWrong) {
  const auto one = [](const std::string& message) {
    return error_of("{\"messages\": [{\"role\": \"user\"}, " + message + "]}");
  };
  EXPECT_EQ(error_of("[]"), "want an object, got []");
  EXPECT_EQ(error_of("{}"), "messages: missing");
  EXPECT_EQ(error_of(R"({"messages": []})"), "messages: none");
  EXPECT_EQ(error_of(R"({"messages": "hi"})"), "messages: want a list, got \"hi\"");
  EXPECT_EQ(one("3"), "messages[1]: want an object, got 3");
  EXPECT_EQ(one("{}"), "messages[1]: role: '', want system, user, assistant or tool");
  EXPECT_EQ(one(R"({"role": "User\n"})"),
            "messages[1]: role: 'User\\x0a', want system, user, assistant or tool");
  EXPECT_EQ(one(R"({"role": "user", "content": 3})"), "messages[1]: content: want a string, got 3");
  EXPECT_EQ(one(R"({"role": "user", "content": [{"type": "text", "text": "a"},
                                                {"type": "image_url", "image_url": {}}]})"),
            "messages[1]: content[1]: image input is not supported");
  EXPECT_EQ(one(R"({"role": "user", "content": [{"type": "input_audio"}]})"),
            "messages[1]: content[0]: type: 'input_audio', only 'text' is supported");
  EXPECT_EQ(one(R"({"role": "user", "content": [{"type": "text"}]})"),
            "messages[1]: content[0]: text: missing");
  EXPECT_EQ(one(R"({"role": "assistant", "tool_calls": [{"id": "x"}]})"),
            "messages[1]: tool_calls[0]: function: missing");
  EXPECT_EQ(one(R"({"role": "assistant", "tool_calls": [{"function": {}}]})"),
            "messages[1]: tool_calls[0]: function.name: missing");
  EXPECT_EQ(one(R"({"role": "assistant", "reasoning": {}})"),
            "messages[1]: reasoning: want a string, got {}");

  const auto with = [](const std::string& more) {
    return error_of(R"({"messages": [{"role": "user"}], )" + more + "}");
  };
  EXPECT_EQ(with(R"("add_generation_prompt": 1)"),
            "add_generation_prompt: want true or false, got 1");
  EXPECT_EQ(with(R"("think": 1)"), "think: want a string, got 1");
  EXPECT_EQ(with(R"("chat_template": "x")"), "chat_template: a request brings none");
  EXPECT_EQ(with(R"("tools": [{"type": "custom"}])"),
            "tools[0]: type: 'custom', only 'function' is supported");
  EXPECT_EQ(with(R"("tools": [{"function": {"name": "a b"}}])"),
            "tools[0]: function.name: 'a b', want 1..64 of A-Z a-z 0-9 _ . -");
  EXPECT_EQ(with(R"("tools": [{"function": {"name": "a"}}, {"function": {"name": "a"}}])"),
            "tools[1]: function.name: 'a' is there twice");
  for (const std::string name : {"messages", "tools", "bos_token", "eos_token",
                                 "add_generation_prompt", "chat_template", "tokenize"}) {
    EXPECT_EQ(with("\"chat_template_kwargs\": {\"" + name + "\": true}"),
              "chat_template_kwargs: " + name + ": may not be set here");
  }
  EXPECT_EQ(with(R"("chat_template_kwargs": {"a": []})"),
            "chat_template_kwargs: a: want true, false, a number or a text, got []");
  EXPECT_EQ(with(R"("chat_template_kwargs": {"a": ")" + std::string(257, 'x') + "\"}"),
            "chat_template_kwargs: a: text of more than 256 bytes");
}

TEST(ChatRequests, ToolsHaveLimits) {
  const auto with_tools = [](int count, size_t bytes) {
    Json request = {{"messages", {{{"role", "user"}}}}};
    for (int i = 0; i < count; ++i) {
      request["tools"].push_back(
          {{"function",
            {{"name", fmt::format("f{}", i)}, {"description", std::string(bytes, 'x')}}}});
    }
    return error_of(request.dump());
  };
  EXPECT_EQ(with_tools(128, 10), "no error");
  EXPECT_EQ(with_tools(129, 10), "tools[128]: more than 128 tools, or 524288 bytes of them");
  EXPECT_EQ(with_tools(1, 524'200), "no error");
  EXPECT_EQ(with_tools(1, 524'288), "tools[0]: more than 128 tools, or 524288 bytes of them");
}

TEST(Messages, ComeBackFromTheirJson) {
  const auto chats = parse_ordered_json(read_text_file(testkit::test_data("chat/chats.json")));
  ASSERT_EQ(chats.size(), 56u);
  for (const auto& chat : chats) {
    const std::vector<Message> list = parse_messages(chat["messages"]);
    Json back = Json::array();
    for (const Message& message : list) back.push_back(message_json(message));
    EXPECT_EQ(parse_messages(back), list) << chat["id"];
  }
}

TEST(CallIds, AreAllDifferent) {
  std::set<std::string> ids;
  for (uint64_t i = 0; i < 10'000; ++i) ids.insert(call_id(i));
  EXPECT_EQ(ids.size(), 10'000u);
  EXPECT_TRUE(std::ranges::all_of(ids, [](const std::string& id) {
    return id.size() == 29 && id.starts_with("call_") &&
           id.find_first_not_of("abcdefghijklmnopqrstuvwxyz", 5) == std::string::npos;
  }));
}

}  // namespace
}  // namespace st
