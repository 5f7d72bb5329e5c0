#include "chat/output_parser.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "base/file.h"
#include "base/json.h"
#include "chat/call_scanner.h"
#include "support/shipped.h"

namespace st {
namespace {

using nlohmann::json;
using Events = std::vector<OutputEvent>;

// A message and why it ended, put together of events as a client would.
struct Heard {
  std::string reasoning, content, reason;
  std::vector<std::pair<std::string, std::string>> calls;  // name, arguments
  std::vector<bool> ended;

  void take(const Events& events) {
    for (const auto& [kind, text] : events) {
      EXPECT_EQ(text.empty(), kind == OutputEvent::kCallEnded);
      if (kind == OutputEvent::kReasoning) reasoning += text;
      if (kind == OutputEvent::kContent) content += text;
      if (kind == OutputEvent::kCallBegun) calls.push_back({text, ""}), ended.push_back(false);
      if (kind == OutputEvent::kArguments) calls.back().second += text;
      if (kind == OutputEvent::kCallEnded) ended.back() = true;
    }
  }

  bool operator==(const Heard&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Heard& heard) {
  out << json{heard.reasoning, heard.content, heard.reason}.dump(-1, ' ', false,
                                                                 json::error_handler_t::replace);
  for (const auto& [name, arguments] : heard.calls) out << ' ' << name << '(' << arguments << ')';
  return out;
}

Heard hear(const std::vector<std::string_view>& pieces, const OutputParserOptions& options,
           bool cut) {
  OutputParser parser(options);
  Heard heard;
  for (const std::string_view piece : pieces) heard.take(parser.push(piece));
  heard.take(parser.finish(cut));
  heard.reason = parser.finish_reason();
  // The message says the same as the events.
  EXPECT_EQ(parser.message().reasoning, heard.reasoning);
  EXPECT_EQ(parser.message().content, heard.content);
  EXPECT_EQ(parser.message().calls.size(), heard.calls.size());
  for (size_t i = 0; i < heard.calls.size(); ++i) {
    const ToolCall& call = parser.message().calls[i];
    EXPECT_EQ(call, (ToolCall{call_id(options.first_call + i), heard.calls[i].first,
                              heard.calls[i].second}));
  }
  return heard;
}

std::vector<std::string_view> pieces_of(std::string_view text, size_t size) {
  std::vector<std::string_view> pieces;
  for (size_t begin = 0; begin < text.size(); begin += size) {
    pieces.push_back(text.substr(begin, size));
  }
  return pieces;
}

Heard hear(std::string_view text, const OutputParserOptions& options, bool cut = false) {
  return hear(std::vector{text}, options, cut);
}

json cases() { return parse_json(read_text_file(testkit::test_data("chat/parse.json"))); }

OutputParserOptions options_of(const json& item) {
  OutputParserOptions options;
  options.format = find_output_format(item["format"].get<std::string>());
  options.in_reasoning = item["start"] == "think";
  if (!item["tools"].is_null()) options.tools = item["tools"].get<std::vector<std::string>>();
  options.first_call = 7;
  return options;
}

TEST(OutputParser, AllCasesInEverySplit) {
  ASSERT_EQ(cases().size(), 31u);
  for (const json& item : cases()) {
    const OutputParserOptions options = options_of(item);
    const bool cut = item["cut"];
    const auto output = item["output"].get<std::string>();
    const json& expect = item["expect"];
    Heard want = {.reasoning = expect["reasoning"],
                  .content = expect["content"],
                  .reason = expect["finish_reason"],
                  .calls = {},
                  .ended = {}};
    for (const json& call : expect["calls"]) {
      want.calls.push_back({call["name"], call["arguments"]});
      want.ended.push_back(!cut);
    }
    for (size_t size = 1; size <= output.size(); ++size) {
      ASSERT_EQ(hear(pieces_of(output, size), options, cut), want) << item["id"] << " by " << size;
    }
    const std::string_view text = output;
    for (size_t at = 0; at <= text.size(); ++at) {
      ASSERT_EQ(hear({text.substr(0, at), text.substr(at)}, options, cut), want)
          << item["id"] << " at " << at;
    }
  }
}

// An answer that is cut anywhere says the beginning of what it would have said.
TEST(OutputParser, CutAnywhere) {
  for (const json& item : cases()) {
    const OutputParserOptions options = options_of(item);
    const auto output = item["output"].get<std::string>();
    const Heard whole = hear(output, options);
    for (size_t end = 0; end <= output.size(); ++end) {
      const Heard part = hear(std::string_view(output).substr(0, end), options, true);
      EXPECT_EQ(part.reason, "length");
      ASSERT_LE(part.calls.size(), whole.calls.size());
      for (size_t i = 0; i < part.calls.size(); ++i) {
        EXPECT_EQ(part.calls[i].first, whole.calls[i].first);
        EXPECT_TRUE(whole.calls[i].second.starts_with(part.calls[i].second));
        EXPECT_FALSE(part.calls[i].second.empty());
        EXPECT_TRUE(part.ended[i] || i + 1 == part.calls.size());
      }
    }
  }
}

const OutputParserOptions kNow = {.tools = {"now"}};
const std::string kCall = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";

TEST(OutputParser, SaysWhatIsKnownAtOnce) {
  OutputParser parser(kNow);
  EXPECT_EQ(parser.push("Well"), (Events{{OutputEvent::kContent, "Well"}}));
  EXPECT_EQ(parser.push(". \n<to"), (Events{{OutputEvent::kContent, "."}}));
  EXPECT_EQ(parser.push("ol_call>{\"name\": \"no"), Events());
  EXPECT_EQ(parser.push("w\""), Events());
  EXPECT_EQ(parser.push(", \"arguments\": {\"a\""),
            (Events{{OutputEvent::kCallBegun, "now"}, {OutputEvent::kArguments, "{\"a\""}}));
  EXPECT_EQ(parser.push(": \"</tool_call>\\\"}\"} "),
            (Events{{OutputEvent::kArguments, ": \"</tool_call>\\\"}\"}"}}));
  EXPECT_EQ(parser.push("}"), (Events{{OutputEvent::kCallEnded}}));
  EXPECT_EQ(parser.push("</tool_call>\n"), Events());
  EXPECT_EQ(parser.push(kCall), (Events{{OutputEvent::kCallBegun, "now"},
                                        {OutputEvent::kArguments, "{}"},
                                        {OutputEvent::kCallEnded}}));
  EXPECT_EQ(parser.finish(false), Events());
  EXPECT_EQ(parser.finish_reason(), "tool_calls");
}

// What a model without a grammar may write, each in pieces of one byte as well.
TEST(OutputParser, WhatIsNoCallIsContent) {
  const auto expect = [](const std::string& text, const Heard& want) {
    Heard with_reason = want;
    with_reason.reason = want.calls.empty() ? "stop" : "tool_calls";
    with_reason.ended.assign(want.calls.size(), true);
    EXPECT_EQ(hear(text, kNow), with_reason) << text;
    EXPECT_EQ(hear(pieces_of(text, 1), kNow, false), with_reason) << text;
  };
  for (const std::string block :
       {"<tool_call>\n[]", "<tool_call>{}", "<tool_call>{\"name\": 3}", "<tool_call>{name: 3}",
        "<tool_call>{\"name\" \"now\"}", "<tool_call>{\"name\": \"now\" \"arguments\": {}}",
        "<tool_call>{\"arguments\": {}}", "<tool_call>{\"arguments\": }", "<tool_call>{,}",
        "<tool_call>{\"name\": \"now\", \"name\": \"now\"}", "<tool_call>{\"name\": \"\\x\"}",
        "a\n\n<tool_call>{\"name\": \"then\"}", "<tool_call>", " <tool_call>\n{", "\n\n", "<", "",
        "<tool_call>{\"name\": \"now\","}) {
    expect(block, {.content = block});
  }
  expect("<tool_call>\n" + kCall, {.content = "<tool_call>", .calls = {{"now", "{}"}}});
  expect("<tool_call>{\"" + std::string(257, 'x') + "\": 1}",
         {.content = "<tool_call>{\"" + std::string(257, 'x') + "\": 1}"});
}

TEST(OutputParser, CallsThatAreNotQuiteAsTheyShouldBe) {
  const auto calls = [](const std::string& text) {
    Heard heard = hear(text, kNow);
    EXPECT_EQ(heard, hear(pieces_of(text, 1), kNow, false)) << text;
    EXPECT_EQ(heard.reason, "tool_calls");
    return std::pair(heard.calls, heard.content);
  };
  using Calls = std::vector<std::pair<std::string, std::string>>;
  const auto one = [](const std::string& arguments, const std::string& content = "") {
    return std::pair(Calls{{"now", arguments}}, content);
  };
  EXPECT_EQ(calls("<tool_call>{\"name\": \"now\"}</tool_call>"), one("{}"));
  EXPECT_EQ(calls("<tool_call>{\"n\\u0061me\": \"n\\u006fw\"}</tool_call>"), one("{}"));
  EXPECT_EQ(calls("<tool_call>{\"id\": [1, \"]\"], \"name\": \"now\", \"arguments\": null, "
                  "\"more\": {}}</tool_call>"),
            one("null"));
  EXPECT_EQ(calls("<tool_call>{\"arguments\": -1.5e3\n, \"name\": \"now\"}"), one("-1.5e3"));
  EXPECT_EQ(calls("<tool_call>{\"arguments\": \"{}\", \"name\": \"now\"}"), one("\"{}\""));
  // Without the closing tag, text goes on.
  EXPECT_EQ(calls("<tool_call>{\"name\": \"now\", \"arguments\": {}}\n</tool>Now."),
            one("{}", "</tool>Now."));
  EXPECT_EQ(calls("<tool_call>{\"name\": \"now\", \"arguments\": {}, oh}\n</tool_call>"),
            one("{}", "oh}\n</tool_call>"));
  EXPECT_EQ(calls("<tool_call>{\"name\": \"now\", \"arguments\": {}}\n" + kCall),
            std::pair(Calls{{"now", "{}"}, {"now", "{}"}}, std::string()));
}

TEST(OutputParser, ReasoningInTheMiddleOfNowhere) {
  const auto opened = [](const std::string& text) {
    const OutputParserOptions options = {.in_reasoning = true, .tools = {"now"}};
    const Heard heard = hear(text, options);
    EXPECT_EQ(heard, hear(pieces_of(text, 1), options, false)) << text;
    return std::pair(heard.reasoning, heard.content);
  };
  using Both = std::pair<std::string, std::string>;
  EXPECT_EQ(opened("\n\nwell\n\n</think>x"), Both("\nwell\n", "x"));
  EXPECT_EQ(opened("</think>\nx"), Both("", "x"));
  EXPECT_EQ(opened("</thin</think></think>"), Both("</thin", "</think>"));
  EXPECT_EQ(opened("a\n</th\n</think>"), Both("a\n</th", ""));
  EXPECT_EQ(opened(" <thin"), Both(" <thin", ""));
  EXPECT_EQ(opened("<think><think></think>"), Both("<think>", ""));
  EXPECT_EQ(opened(kCall), Both(kCall, ""));
}

TEST(OutputParser, LongTextsTakeTimeInProportion) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "<tool_call>{\"a\": \"<tool_call>{\"  \t\n ";
  text += std::string(1'000'000, '\n') + "<tool_call>{\"arguments\": \"";
  text += std::string(1'000'000, '{');
  EXPECT_EQ(hear(pieces_of(text, 3), kNow, false).content, text);
}

TEST(OutputParser, RandomPartsInRandomPieces) {
  const std::vector<std::string> parts = {"<think>",
                                          "</think>",
                                          "<tool_call>",
                                          "</tool_call>",
                                          "\n",
                                          " ",
                                          "{\"name\": \"now\"",
                                          "}",
                                          ", \"arguments\": ",
                                          "{\"a\": [1, \"}\"]}",
                                          "{",
                                          "\"",
                                          "<",
                                          "</",
                                          "text",
                                          "\\",
                                          "é",
                                          "🙂"};
  std::mt19937 random(1);
  for (int round = 0; round < 5'000; ++round) {
    std::string text;
    for (auto n = random() % 20; n > 0; --n) text += parts[random() % parts.size()];
    const OutputParserOptions options = {.in_reasoning = random() % 4 == 0, .tools = {"now"}};
    const bool cut = random() % 2 == 0;
    std::vector<std::string_view> pieces;
    for (size_t begin = 0; begin < text.size();) {
      const size_t size = 1 + random() % 9;
      pieces.push_back(std::string_view(text).substr(begin, size));
      begin += size;
    }
    ASSERT_EQ(hear(pieces, options, cut), hear(text, options, cut)) << text;
  }
}

TEST(OutputFormats, ByName) {
  ASSERT_NE(find_output_format("hermes"), nullptr);
  EXPECT_EQ(find_output_format("hermes")->call_open, "<tool_call>");
  EXPECT_EQ(find_output_format("Hermes"), nullptr);
}

}  // namespace
}  // namespace st
