#include "chat/chat_template.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "chat/builtin_templates.h"
#include "support/shipped.h"
#include "support/temporary_folder.h"
#include "support/vocabularies.h"

namespace st {
namespace {

using testkit::error_of;
using Messages = std::vector<Message>;
using Tokens = std::vector<Token>;

const std::tm kNow = {.tm_mday = 5, .tm_mon = 10, .tm_year = 126};

std::string prompt(const ChatTemplate& with, const ChatRequest& request) {
  return with.render(request, kNow).text.bytes;
}

const ChatTemplate& chatml() {
  static const ChatTemplate made{builtin_chat_template("chatml")};
  return made;
}

// The user and the assistant take turns, the user first, and texts are trimmed; a system message is
// put before the user's first text; of tools it knows nothing. As Gemma's.
const ChatTemplate& strict() {
  static const ChatTemplate made{R"({{ bos_token }}
{%- set first = '' %}
{%- if messages[0].role == 'system' %}
  {%- set first = messages[0].content + '\n\n' %}
  {%- set messages = messages[1:] %}
{%- endif %}
{%- for m in messages %}
  {%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}
    {{- raise_exception('Roles must alternate') }}
  {%- endif %}
  {{- '<' + m.role + '>' + (first if loop.first else '') + m.content | trim + '</>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<assistant>' }}{% endif %})",
                                 {.bos = "<bos>"}};
  return made;
}

// All there is, as Qwen3's.
const ChatTemplate& able() {
  static const ChatTemplate made{R"({%- if tools %}
{{- '<tools>' }}{% for tool in tools %}{{ '\n' + tool | tojson }}{% endfor %}{{ '</tools>\n' }}
{%- endif %}
{%- for m in messages %}
  {{- '<|im_start|>' + m.role + '\n' }}
  {%- if m.reasoning_content is defined %}
    {{- '<think>\n' + m.reasoning_content + '\n</think>\n\n' }}
  {%- endif %}
  {{- m.content }}
  {%- for call in m.tool_calls %}
    {%- set call = call.function %}
    {{- '<tool_call>\n{"name": "' + call.name + '", "arguments": ' }}
    {{- call.arguments if call.arguments is string else call.arguments | tojson }}
    {{- '}\n</tool_call>' }}
  {%- endfor %}
  {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|im_start|>assistant\n' }}
  {%- if enable_thinking is defined and not enable_thinking %}{{- '<think>\n\n</think>\n\n' }}
  {%- elif mood is defined %}{{- '<think>\n' + mood }}{% endif %}
{%- endif %})"};
  return made;
}

const Messages kTurns = {
    {"system", "Be brief."}, {"user", "Hi"}, {"assistant", "Yo."}, {"user", " Well\n"}};

TEST(ChatTemplate, MessagesAsTheTemplateHasThem) {
  EXPECT_EQ(prompt(chatml(), {kTurns}),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\nYo.<|im_end|>\n<|im_start|>user\n Well\n<|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_EQ(prompt(strict(), {kTurns}),
            "<bos><user>Be brief.\n\nHi</>\n<assistant>Yo.</>\n<user>Well</>\n<assistant>");
  EXPECT_EQ(prompt(strict(), {.messages = kTurns, .generation_prompt = false}),
            "<bos><user>Be brief.\n\nHi</>\n<assistant>Yo.</>\n<user>Well</>\n");
}

TEST(ChatTemplate, Abilities) {
  EXPECT_EQ(describe(chatml().abilities()),
            "content: text\nsystem: text\nsecond system: yes\nlater system: yes\n"
            "lone system: yes\nsame role twice: yes\nassistant first: yes\ntools: no\ncalls: no\n"
            "tool results: yes\nthinking switch: no\nturn end: <|im_end|>\\x0a\n");
  EXPECT_EQ(describe(strict().abilities()),
            "content: text\nsystem: text\nsecond system: no\nlater system: no\n"
            "lone system: no\nsame role twice: no\nassistant first: no\ntools: no\ncalls: no\n"
            "tool results: no\nthinking switch: no\nturn end: </>\\x0a\n");
  EXPECT_EQ(describe(able().abilities()),
            "content: text\nsystem: text\nsecond system: yes\nlater system: yes\n"
            "lone system: yes\nsame role twice: yes\nassistant first: yes\ntools: yes\n"
            "calls: as objects\ntool results: yes\nthinking switch: yes\n"
            "turn end: <|im_end|>\\x0a\n");
}

TEST(ChatTemplate, WhatATemplateDoesNotTakeIsSaidOtherwise) {
  const auto strictly = [](const Messages& messages) { return prompt(strict(), {messages}); };
  EXPECT_EQ(strictly({{"system", "A"}, {"system", "B"}, {"user", "C"}}),
            "<bos><user>A\n\nB\n\nC</>\n<assistant>");
  EXPECT_EQ(strictly({{"user", "A"}, {"assistant", "B"}, {"system", "C"}, {"user", "D"}}),
            "<bos><user>A</>\n<assistant>B</>\n<user>C\n\nD</>\n<assistant>");
  EXPECT_EQ(strictly({{"user", "A"}, {"user", "B"}, {"user", "C"}}),
            "<bos><user>A\n\nB\n\nC</>\n<assistant>");
  EXPECT_EQ(strictly({{"user", "A"}, {"assistant", "B"}, {"assistant", "C"}, {"user", "D"}}),
            "<bos><user>A</>\n<assistant>B\n\nC</>\n<user>D</>\n<assistant>");
  EXPECT_EQ(strictly({{"system", "A"}}), "<bos><user>A</>\n<assistant>");
  EXPECT_EQ(strictly({{"user", "A"}, {"assistant", "B"}, {"system", "C"}}),
            "<bos><user>A</>\n<assistant>B</>\n<user>C</>\n<assistant>");
  EXPECT_EQ(strictly({{"assistant", "A"}, {"user", "B"}}),
            "<bos><user></>\n<assistant>A</>\n<user>B</>\n<assistant>");
  EXPECT_EQ(strictly({{"system", "S"}, {"assistant", "A"}, {"user", "B"}}),
            "<bos><user>S\n\n</>\n<assistant>A</>\n<user>B</>\n<assistant>");
  // What it does take stays as it is.
  EXPECT_EQ(prompt(chatml(), {{{"user", "A"}, {"system", "B"}, {"user", "C"}}}),
            "<|im_start|>user\nA<|im_end|>\n<|im_start|>system\nB<|im_end|>\n"
            "<|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n");
  // A template without system messages.
  const ChatTemplate none(
      "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}"
      "[{{ m.role }}:{{ m.content }}]{% endfor %}");
  EXPECT_EQ(prompt(none, {{{"system", "A"}, {"system", "B"}, {"user", "C"}}}),
            "[user:A\n\nB\n\nC]");
  // One that drops them says nothing either.
  const ChatTemplate drops(
      "{% for m in messages if m.role != 'system' %}[{{ m.role }}:{{ m.content }}]{% endfor %}");
  EXPECT_EQ(prompt(drops, {{{"system", "A"}, {"user", "C"}}}), "[user:A\n\nC]");
}

TEST(ChatTemplate, ContentInParts) {
  const ChatRequest request = {{{.role = "system", .content = "S"},
                                {.role = "user", .content = "a\nb", .parts = {"a", "b"}}}};
  EXPECT_EQ(prompt(chatml(), request),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na\nb<|im_end|>\n"
            "<|im_start|>assistant\n");
  const ChatTemplate both(
      "{% for m in messages %}[{% if m.content is string %}{{ m.content }}{% else %}"
      "{% for p in m.content %}<{{ p.type }}:{{ p.text }}>{% endfor %}{% endif %}]{% endfor %}");
  EXPECT_EQ(prompt(both, request), "[S][<text:a><text:b>]");
  const ChatTemplate only(
      "{% for m in messages %}[{% for p in m.content %}<{{ p.text }}>{% endfor %}]{% endfor %}");
  EXPECT_EQ(prompt(only, request), "[<S>][<a><b>]");
  // Of the system message the first part, as one of Gemma 3's.
  const ChatTemplate first(
      "{% for m in messages %}{% if m.role == 'system' %}{{ m.content[0].text }}{% else %}"
      "[{{ m.content }}]{% endif %}{% endfor %}");
  const ChatRequest two = {{{.role = "system", .content = "a\nb", .parts = {"a", "b"}},
                            {.role = "user", .content = "U"}}};
  EXPECT_EQ(prompt(first, two), "a\nb[U]");
  const ChatTemplate printed("{% for m in messages %}[{{ m.content }}]{% endfor %}");
  EXPECT_EQ(printed.abilities().content.parts, false);
}

ToolCall weather(std::string arguments) { return {"call_1", "weather", std::move(arguments)}; }

TEST(ChatTemplate, ArgumentsOfCallsAreObjectsIfTheyCanBe) {
  const auto written = [](const std::string& arguments) {
    Message call = {"assistant", ""};
    call.calls = {weather(arguments)};
    const std::string text = prompt(able(), {{{"user", "?"}, call}});
    const size_t begin = text.find("\"arguments\": ") + 13;
    return text.substr(begin, text.rfind("}\n</tool_call>") - begin);
  };
  EXPECT_EQ(written(R"({"b":1,"a":[1.0,null,"é"]})"), R"({"b": 1, "a": [1.0, null, "é"]})");
  EXPECT_EQ(written(R"({ "b" : 1 })"), R"({"b": 1})");
  EXPECT_EQ(written("[1]"), "[1]");
  EXPECT_EQ(written("{\"b\": "), "{\"b\": ");
  EXPECT_EQ(written(""), "");
}

TEST(ChatTemplate, ToolsAreRefusedWhereTheyWouldBeLost) {
  const Tool tool = {"now", R"({"type":"function","function":{"name":"now"}})"};
  const std::string offered = prompt(able(), {.messages = {{"user", "?"}}, .tools = {tool}});
  EXPECT_TRUE(offered.starts_with(
      "<tools>\n{\"type\": \"function\", \"function\": {\"name\": \"now\"}}</tools>\n"));
  EXPECT_EQ(error_of([&] { prompt(chatml(), {.messages = {{"user", "?"}}, .tools = {tool}}); }),
            "tools: the chat template has none; --tools generic explains them in other words");
  Message call = {"assistant", ""};
  call.calls = {weather("{}")};
  EXPECT_EQ(error_of([&] { prompt(strict(), {{{"user", "?"}, call}}); }),
            "messages[1]: the chat template has no calls of tools");
  EXPECT_EQ(error_of([&] { prompt(strict(), {{{"user", "?"}, {"tool", "-3"}}}); }),
            "messages[1]: the chat template has no results of tools");
}

TEST(ChatTemplate, GenericToolsAreExplained) {
  const ChatTemplate generic(builtin_chat_template("gemma"), {.generic_tools = true});
  Message call = {"assistant", "I look."};
  call.calls = {weather("{\"a\": 1}"), weather("{}")};
  const std::string text = prompt(
      generic,
      {.messages = {{"system", "Be brief."}, {"user", "?"}, call, {"tool", "-3"}, {"tool", "4"}},
       .tools = {{"weather", "{\"the\": \"schema\"}"}}});
  EXPECT_TRUE(text.starts_with("<start_of_turn>user\nBe brief.\n\nYou can use tools.")) << text;
  EXPECT_TRUE(text.ends_with(
      "with JSON schemas of their parameters:\n{\"the\": \"schema\"}\n\n?<end_of_turn>\n"
      "<start_of_turn>model\nI look.\n"
      "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"a\": 1}}\n</tool_call>\n"
      "<tool_call>\n{\"name\": \"weather\", \"arguments\": {}}\n</tool_call><end_of_turn>\n"
      "<start_of_turn>user\n<tool_response>\n-3\n</tool_response>\n"
      "<tool_response>\n4\n</tool_response><end_of_turn>\n<start_of_turn>model\n"))
      << text;
}

TEST(ChatTemplate, TheLastAnswerIsContinued) {
  const Messages open = {{"user", "Say yes."}, {"assistant", "Ye"}};
  EXPECT_EQ(prompt(chatml(), {open}),
            "<|im_start|>user\nSay yes.<|im_end|>\n<|im_start|>assistant\nYe");
  EXPECT_EQ(prompt(chatml(), {.messages = open, .generation_prompt = false}),
            prompt(chatml(), {open}));
  EXPECT_EQ(prompt(chatml(), {.messages = open, .generation_prompt = true}),
            "<|im_start|>user\nSay yes.<|im_end|>\n<|im_start|>assistant\nYe<|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_EQ(prompt(strict(), {open}), "<bos><user>Say yes.</>\n<assistant>Ye");
  const ChatTemplate odd(
      "{% for m in messages %}{{ m.content }}{% if m.content|length > 3 %}!{% endif %}\n"
      "{% endfor %}");
  EXPECT_EQ(error_of([&] { prompt(odd, {{{"user", ""}, {"assistant", "Ye"}}}); }),
            "messages[1]: an answer cannot be continued: the chat template does not end it in "
            "'!'");
}

TEST(ChatTemplate, Thinking) {
  const auto with = [](std::optional<bool> think) {
    return able().render({.messages = {{"user", "?"}}, .think = think}, kNow);
  };
  const std::string open = "<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n";
  EXPECT_EQ(with({}).text.bytes, open);
  EXPECT_EQ(with(true).text.bytes, open);
  EXPECT_EQ(with(false).text.bytes, open + "<think>\n\n</think>\n\n");
  EXPECT_FALSE(with(false).parser.in_reasoning);
  EXPECT_EQ(prompt(chatml(), {.messages = {{"user", "?"}}, .think = false}), open);

  const ChatTemplate thinker("{{ messages[0].content }}{{ '<think>\n' }}");
  EXPECT_TRUE(thinker.render({{{"user", "?"}}}, kNow).parser.in_reasoning);
  // What a user writes opens nothing.
  const ChatTemplate bare("{{ messages[0].content }}");
  EXPECT_FALSE(bare.render({{{"user", "<think>"}}}, kNow).parser.in_reasoning);
  EXPECT_FALSE(ChatTemplate("<think{{ messages[0].content }}")
                   .render({{{"user", ">"}}}, kNow)
                   .parser.in_reasoning);
  Message thought = {"assistant", "4"};
  thought.reasoning = "2+2";
  EXPECT_EQ(prompt(able(), {{{"user", "?"}, thought, {"user", "!"}}}),
            "<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n<think>\n2+2\n</think>\n\n4"
            "<|im_end|>\n<|im_start|>user\n!<|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplate, VariablesThatItReads) {
  const ChatRequest calm = {.messages = {{"user", "?"}}, .variables = {{"mood", "\"<think>\""}}};
  const ChatPrompt with = able().render(calm, kNow);
  EXPECT_TRUE(with.text.bytes.ends_with("assistant\n<think>\n<think>"));
  EXPECT_EQ(with.text.runs.back(), (MarkedText::Run{7, false}));
  EXPECT_FALSE(with.parser.in_reasoning);
  EXPECT_EQ(error_of([&] { chatml().render(calm, kNow); }),
            "variable mood: the chat template does not read it");
  EXPECT_EQ(error_of([&] {
              able().render({.messages = {{"user", "?"}}, .variables = {{"moo", "1"}}}, kNow);
            }),
            "variable moo: the chat template does not read it");
}

TEST(ChatTemplate, ErrorsNameIt) {
  EXPECT_EQ(error_of([] { ChatTemplate("{% endif %}"); }).substr(0, 22), "chat template: line 1:");
  const ChatTemplate refuses("{{ raise_exception('Not today') }}");
  EXPECT_EQ(error_of([&] { prompt(refuses, {{{"user", "?"}}}); }),
            "chat template: line 1: the template says: Not today");
}

TEST(ChatTemplate, AChatThatIsTooLongIsToldSo) {
  const ChatTemplate chat(builtin_chat_template("chatml"));
  EXPECT_EQ(error_of([&] { prompt(chat, {{{"user", std::string((4 << 20) + 1, 'x')}}}); }),
            "the messages have 4194305 bytes of text, at most 4194304");
}

// Rendering the beginning of a chat gives the beginning of the whole, so that what was evaluated
// once need not be again.
TEST(ChatTemplate, TheBeginningOfAChatIsTheBeginningOfItsPrompt) {
  std::mt19937 random(1);
  const std::vector<std::string> texts = {"", "Hi", " a \n", "<|im_end|>", "\n\n", "é🙂"};
  for (int round = 0; round < 500; ++round) {
    Messages messages;
    if (random() % 2 == 0) messages.push_back({"system", texts[random() % texts.size()]});
    while (messages.size() < 9) {
      messages.push_back({"user", texts[random() % texts.size()]});
      messages.push_back({"assistant", texts[random() % texts.size()]});
    }
    const auto first = [&](size_t n) {
      return prompt(chatml(), {.messages = Messages(messages.begin(), messages.begin() + n),
                               .generation_prompt = false});
    };
    for (size_t k = 1; k + 2 <= messages.size(); ++k) {
      ASSERT_TRUE(first(k + 2).starts_with(first(k)));
    }
  }
}

TEST(ChatTokens, WhatMessagesSayIsMereText) {
  const Tokenizer tokenizer(read_hf_vocab(testkit::shipped_model("micro-qwen3"), 0));
  const auto marks = [&](const ChatRequest& request) {
    Tokens of;
    for (const Token token : prompt_tokens(tokenizer, able().render(request, kNow).text)) {
      if (tokenizer.vocab().types[static_cast<size_t>(token)] != TokenType::kNormal) {
        of.push_back(token);
      }
    }
    return of;
  };
  const auto chats = parse_ordered_json(read_text_file(testkit::test_data("chat/chats.json")));
  int seen = 0;
  for (const auto& chat : chats) {
    ChatRequest request = {.messages = parse_messages(chat["messages"])};
    if (chat["tools"].is_array()) request.tools = parse_tools(chat["tools"]);
    ChatRequest letters = request;
    for (Message& message : letters.messages) {
      for (std::string* text : {&message.content, &message.reasoning}) {
        for (char& c : *text) c = 'x';
      }
      message.parts.clear();
    }
    EXPECT_EQ(marks(request), marks(letters)) << chat["id"];
    ++seen;
  }
  EXPECT_EQ(seen, 56);
}

// A call that was generated has the same tokens in the history of the next prompt.
TEST(ChatTokens, CallsInHistoryAreAsTheyWereWritten) {
  const Tokenizer tokenizer(read_hf_vocab(testkit::shipped_model("micro-qwen3"), 0));
  const auto tokens_of = [&](const Messages& messages) {
    return prompt_tokens(tokenizer, able().render({messages}, kNow).text);
  };
  const std::vector<std::string> values = {"1",
                                           "-2.5",
                                           "true",
                                           "null",
                                           "[]",
                                           "{}",
                                           "\"\"",
                                           "\"a b\"",
                                           "\"</tool_call>\\n\\\"\"",
                                           "\"é🙂<|im_end|>\"",
                                           "[1, [\"x\"]]",
                                           "{\"k\": {\"l\": 1e+21}}"};
  std::mt19937 random(1);
  for (const std::string name : {"now", "get_weather", "a.b", "x-1"}) {
    for (int round = 0; round < 100; ++round) {
      std::string arguments = "{";
      for (auto n = random() % 4; n > 0; --n) {
        arguments += fmt::format("{}\"p{}\": {}", arguments.size() > 1 ? ", " : "", n,
                                 values[random() % values.size()]);
      }
      arguments += "}";
      const std::string text = fmt::format(
          "<tool_call>\n{{\"name\": \"{}\", \"arguments\": {}}}\n</tool_call>", name, arguments);
      OutputParser parser({.tools = {name}});
      parser.push(text);
      parser.finish(false);

      Messages messages = {{"user", "Go"}};
      Tokens written = tokens_of(messages);
      // The tags are tokens, what is between them is text.
      MarkedText call;
      call.append("<tool_call>", true);
      call.append(std::string_view(text).substr(11, text.size() - 23), false);
      call.append("</tool_call><|im_end|>", true);
      const Tokens generated = tokenizer.encode(call);
      written.insert(written.end(), generated.begin(), generated.end());

      messages.push_back(parser.message());
      messages.push_back({"tool", "done"});
      const Tokens next = tokens_of(messages);
      ASSERT_GT(next.size(), written.size());
      ASSERT_TRUE(std::ranges::equal(written, std::span(next).first(written.size()))) << text;
    }
  }
}

TEST(ChatTokens, OneBos) {
  const Tokenizer gemma(read_hf_vocab(testkit::shipped_model("micro-gemma3n"), 0));
  const Token bos = gemma.vocab().bos;
  ASSERT_TRUE(gemma.vocab().add_bos);
  const ChatTemplate own = model_chat_template(gemma, "", false, nullptr);
  const ChatPrompt prints = own.render({{{"user", "<bos>Hi"}}}, kNow);
  EXPECT_TRUE(prints.text.bytes.starts_with("<bos><start_of_turn>user\n<bos>Hi"));
  const Tokens tokens = prompt_tokens(gemma, prints.text);
  EXPECT_EQ(tokens.front(), bos);
  EXPECT_EQ(std::ranges::count(tokens, bos), 1);
  const Tokens added = prompt_tokens(gemma, chatml().render({{{"user", "<bos>Hi"}}}, kNow).text);
  EXPECT_EQ(added.front(), bos);
  EXPECT_EQ(std::ranges::count(added, bos), 1);
  EXPECT_EQ(std::ranges::count(prompt_tokens(testkit::tiny_tokenizer(),
                                             chatml().render({{{"user", "Hi"}}}, kNow).text),
                               testkit::tiny_tokenizer().vocab().bos),
            0);
}

class ModelTemplates : public testing::Test {
 protected:
  // A vocabulary of bytes and this token.
  static Tokenizer tokenizer(const std::string& special, const std::string& source = {}) {
    Vocab vocab = testkit::byte_vocab();
    testkit::add_token(vocab, special, TokenType::kControl);
    vocab.chat_template = source;
    vocab.named_chat_templates = {{"tool_use", "T{{ messages[0].content }}"}};
    return Tokenizer(std::move(vocab));
  }
  std::string say_hi(const Tokenizer& with, const std::string& choice) {
    const ChatTemplate chat_template = model_chat_template(with, choice, false, &notices);
    return prompt(chat_template, {{{"user", "Hi"}}});
  }
  std::vector<std::string> notices;
};

TEST_F(ModelTemplates, ItsOwnOrOneThatIsChosen) {
  const Tokenizer own = tokenizer("<|im_start|>", "O{{ messages[0].content }}");
  EXPECT_EQ(say_hi(own, ""), "OHi");
  EXPECT_EQ(say_hi(own, "tool_use"), "THi");
  EXPECT_EQ(say_hi(own, "chatml"), "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(say_hi(own, "gemma"), "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n");
  const TemporaryFolder folder;
  std::ofstream(folder / "mine.jinja") << "F{{ messages[0].content }}\n";
  EXPECT_EQ(say_hi(own, folder / "mine.jinja"), "FHi");
  EXPECT_EQ(error_of([&] { say_hi(own, "nothing"); }),
            "--chat-template nothing: no file, and not one of tool_use, chatml, gemma");
  EXPECT_TRUE(notices.empty());
}

TEST_F(ModelTemplates, WithoutOne) {
  EXPECT_EQ(say_hi(tokenizer("<|im_start|>"), ""),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(notices, std::vector<std::string>{
                         "no chat template in the model: using ChatML, as it has <|im_start|>"});
  EXPECT_EQ(error_of([&] { say_hi(tokenizer("<bos>"), ""); }),
            "no chat template in the model: choose one with --chat-template NAME|FILE (tool_use, "
            "chatml, gemma)");
  // A wrong one is not replaced by a guess.
  EXPECT_EQ(
      error_of([&] { say_hi(tokenizer("<|im_start|>", "{% nonsense %}"), ""); }).substr(0, 22),
      "chat template: line 1:");
}

TEST_F(ModelTemplates, OfTheShippedModel) {
  EXPECT_EQ(say_hi(testkit::tiny_tokenizer(), ""),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_TRUE(notices.empty());
}

}  // namespace
}  // namespace st
