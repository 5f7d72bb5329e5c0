#include "chat/chat_template.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "chat/builtin_templates.h"
#include "chat/generic_tools.h"
#include "jinja/template.h"

namespace st {
namespace {

using jinja::Value;

// What users and models write, and what the template may rely on.
Value said(std::string_view text) { return Value::text(text, false); }
Value fixed(std::string_view text) { return Value::text(text, true); }
Value::Member member(std::string_view name, Value value) { return {fixed(name), std::move(value)}; }

bool is_word(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

// Whether a variable of this name may be read: it stands somewhere in the source.
bool has_word(std::string_view source, std::string_view name) {
  for (size_t at = source.find(name); at != source.npos; at = source.find(name, at + 1)) {
    const bool begins = at == 0 || !is_word(source[at - 1]);
    const size_t end = at + name.size();
    if (begins && (end == source.size() || !is_word(source[end]))) return true;
  }
  return false;
}

// The JSON of an object as a dict; what is none stays a text.
Value arguments_value(const std::string& json, bool as_object) {
  if (as_object) {
    try {
      Value value = Value::from_json(json, false);
      if (value.is_dict()) return value;
    } catch (const Error&) {
      // A model may have written anything.
    }
  }
  return said(json);
}

// Which forms of messages go to the template.
struct Forms {
  ContentForms system, content;
  bool call_objects = true;
};

Value content_value(const Message& message, const ContentForms& forms) {
  const bool several = forms.parts && !message.parts.empty();
  if (!several && (forms.text || !forms.any())) return said(message.content);
  std::vector<std::string> texts = message.parts;
  if (!several) texts = {message.content};
  std::vector<Value> parts;
  for (const std::string& text : texts) {
    parts.push_back(Value::dict({member("type", fixed("text")), member("text", said(text))}));
  }
  return Value::list(std::move(parts));
}

Value calls_value(const std::vector<ToolCall>& calls, bool as_objects) {
  std::vector<Value> list;
  for (const ToolCall& call : calls) {
    Value function =
        Value::dict({member("name", said(call.name)),
                     member("arguments", arguments_value(call.arguments, as_objects))});
    list.push_back(Value::dict({member("id", said(call.id)), member("type", fixed("function")),
                                member("function", std::move(function))}));
  }
  return Value::list(std::move(list));
}

Value message_value(const Message& message, const Forms& forms) {
  const bool is_system = message.role == "system";
  std::vector<Value::Member> members = {
      member("role", fixed(message.role)),
      member("content", content_value(message, is_system ? forms.system : forms.content))};
  if (!message.reasoning.empty()) {
    members.push_back(member("reasoning_content", said(message.reasoning)));
  }
  if (!message.calls.empty()) {
    members.push_back(member("tool_calls", calls_value(message.calls, forms.call_objects)));
  }
  if (!message.tool_call_id.empty()) {
    members.push_back(member("tool_call_id", said(message.tool_call_id)));
  }
  if (!message.name.empty()) members.push_back(member("name", said(message.name)));
  return Value::dict(std::move(members));
}

Value messages_value(const std::vector<Message>& messages, const Forms& forms) {
  std::vector<Value> list;
  for (const Message& message : messages) list.push_back(message_value(message, forms));
  return Value::list(std::move(list));
}

Value tools_value(const std::vector<Tool>& tools) {
  if (tools.empty()) return jinja::None();
  std::vector<Value> list;
  for (const Tool& tool : tools) list.push_back(Value::from_json(tool.definition, false));
  return Value::list(std::move(list));
}

// What no prompt has room for costs no time.
void check_size(const std::vector<Message>& messages) {
  constexpr size_t kMost = jinja::Limits().output;
  size_t bytes = 0;
  for (const Message& message : messages) bytes += message.content.size();
  if (bytes > kMost) {
    fail(ErrorCode::kInvalidData, "the messages have {} bytes of text, at most {}", bytes, kMost);
  }
}

// The prompt ends in an opened tag of reasoning, of the template's own.
bool opens_reasoning(const MarkedText& text) {
  constexpr std::string_view kOpen = "<think>";
  const size_t end = text.bytes.find_last_not_of(" \t\r\n") + 1;
  return !text.runs.empty() && text.runs.back().trusted &&
         std::string_view(text.bytes).substr(0, end).ends_with(kOpen) &&
         text.runs.back().size >= text.bytes.size() - end + kOpen.size();
}

}  // namespace

struct ChatTemplate::Impl {
  Impl(std::string_view source_, ChatTemplateOptions options_)
      : source(source_),
        options(std::move(options_)),
        program(with_context("chat template", [&] { return jinja::Template::compile(source); })),
        abilities(find_chat_abilities([&](const ChatProbe& chat) { return probe(chat); })) {}

  // What else a template is given, under names of its own.
  using Variables = std::vector<Value::Member>;

  MarkedText run(Value messages, Value tools, bool generation_prompt, Variables variables,
                 const std::tm& now) const {
    variables.push_back(member("messages", std::move(messages)));
    variables.push_back(member("tools", std::move(tools)));
    variables.push_back(member("documents", jinja::None()));
    variables.push_back(member("add_generation_prompt", generation_prompt));
    if (!options.bos.empty()) variables.push_back(member("bos_token", fixed(options.bos)));
    if (!options.eos.empty()) variables.push_back(member("eos_token", fixed(options.eos)));
    return with_context("chat template", [&] {
      return program.render(Value::dict(std::move(variables)), {.now = now, .limits = {}});
    });
  }

  std::optional<std::string> probe(const ChatProbe& chat) const {
    std::vector<Value> messages;
    for (const Message& message : chat.messages) {
      const bool as_parts = messages.size() < chat.as_parts;
      const ContentForms form = {.text = !as_parts, .part = as_parts, .parts = as_parts};
      messages.push_back(message_value(
          message, {.system = form, .content = form, .call_objects = chat.call_objects}));
    }
    try {
      return run(Value::list(std::move(messages)), tools_value(chat.tools), chat.generation_prompt,
                 thinking(chat.think), {})
          .bytes;
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  bool reads(std::string_view name) const { return has_word(source, name); }

  Variables thinking(std::optional<bool> think) const {
    if (!think) return {};
    for (const std::string_view name : {"enable_thinking", "thinking"}) {
      if (reads(name)) return {member(name, *think)};
    }
    return {};
  }

  Variables variables(const ChatRequest& request) const {
    Variables result = thinking(request.think);
    for (const auto& [name, json] : request.variables) {
      if (!reads(name)) {
        fail(ErrorCode::kInvalidData, "variable {}: the chat template does not read it",
             printable(name));
      }
      result.push_back(member(name, Value::from_json(json, false)));
    }
    return result;
  }

  // Of the chat as the template takes it.
  std::vector<Message> adapted(const ChatRequest& request) const {
    if (!options.generic_tools || abilities.tools) {
      if (!request.tools.empty() && !abilities.tools) {
        fail(ErrorCode::kInvalidData,
             "tools: the chat template has none; --tools generic explains them in other words");
      }
      return adapt_messages(request.messages, abilities);
    }
    return adapt_messages(with_generic_tools(request.messages, request.tools), abilities);
  }

  MarkedText render(const std::vector<Message>& messages, const ChatRequest& request,
                    bool generation_prompt, const std::tm& now) const {
    const Forms forms = {.system = abilities.system,
                         .content = abilities.content,
                         .call_objects = abilities.call_objects};
    return run(messages_value(messages, forms),
               tools_value(abilities.tools ? request.tools : std::vector<Tool>()),
               generation_prompt, variables(request), now);
  }

  std::string source;
  ChatTemplateOptions options;
  jinja::Template program;
  ChatAbilities abilities;
};

ChatTemplate::ChatTemplate(std::string_view source, ChatTemplateOptions options)
    : impl_(std::make_unique<const Impl>(source, std::move(options))) {}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

const std::string& ChatTemplate::source() const { return impl_->source; }
const ChatAbilities& ChatTemplate::abilities() const { return impl_->abilities; }

ChatPrompt ChatTemplate::render(const ChatRequest& request, const std::tm& now) const {
  check_size(request.messages);
  const std::vector<Message> messages = impl_->adapted(request);
  const bool answered = !messages.empty() && messages.back().role == "assistant";
  const bool generation_prompt = request.generation_prompt.value_or(!answered);
  ChatPrompt prompt = {.text = impl_->render(messages, request, generation_prompt, now),
                       .parser = {}};
  prompt.parser.in_reasoning = generation_prompt && opens_reasoning(prompt.text);
  for (const Tool& tool : request.tools) prompt.parser.tools.push_back(tool.name);
  if (answered && !generation_prompt && messages.back().calls.empty()) {
    const std::string& end = impl_->abilities.turn_end;
    if (!prompt.text.bytes.ends_with(end)) {
      fail(ErrorCode::kInvalidData,
           "messages[{}]: an answer cannot be continued: the chat template does not end it in '{}'",
           request.messages.size() - 1, printable(end));
    }
    prompt.text.cut(prompt.text.bytes.size() - end.size());
  }
  return prompt;
}

std::tm local_time_now() {
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  ::localtime_r(&now, &local);
  return local;
}

namespace {

std::string names_of(const Vocab& vocab) {
  std::string names;
  for (const auto& [name, source] : vocab.named_chat_templates) names += printable(name) + ", ";
  return names;
}

std::string chosen_source(const Tokenizer& tokenizer, const std::string& choice,
                          std::vector<std::string>* notices) {
  constexpr uint64_t kMaxBytes = uint64_t{1} << 20;
  const Vocab& vocab = tokenizer.vocab();
  if (choice.empty()) {
    if (!vocab.chat_template.empty()) return vocab.chat_template;
    if (tokenizer.encode("<|im_start|>", true).size() != 1) {
      fail(ErrorCode::kNotFound,
           "no chat template in the model: choose one with --chat-template NAME|FILE ({}{})",
           names_of(vocab), kBuiltinChatTemplates);
    }
    if (notices != nullptr) {
      notices->push_back("no chat template in the model: using ChatML, as it has <|im_start|>");
    }
    return std::string(builtin_chat_template("chatml"));
  }
  const auto named = vocab.named_chat_templates.find(choice);
  if (named != vocab.named_chat_templates.end()) return named->second;
  if (const auto source = builtin_chat_template(choice); !source.empty()) {
    return std::string(source);
  }
  try {
    return read_text_file(choice, kMaxBytes);
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kNotFound) throw;
    fail(ErrorCode::kNotFound, "--chat-template {}: no file, and not one of {}{}",
         printable_path(choice), names_of(vocab), kBuiltinChatTemplates);
  }
}

std::string name_of(const Tokenizer& tokenizer, Token token) {
  return token < 0 ? std::string() : tokenizer.piece(token, true);
}

}  // namespace

ChatTemplate model_chat_template(const Tokenizer& tokenizer, const std::string& choice,
                                 bool generic_tools, std::vector<std::string>* notices) {
  const Vocab& vocab = tokenizer.vocab();
  return ChatTemplate(chosen_source(tokenizer, choice, notices),
                      {.bos = name_of(tokenizer, vocab.bos),
                       .eos = name_of(tokenizer, vocab.eos),
                       .generic_tools = generic_tools});
}

std::vector<Token> prompt_tokens(const Tokenizer& tokenizer, const MarkedText& prompt) {
  std::vector<Token> tokens = tokenizer.encode(prompt);
  const Vocab& vocab = tokenizer.vocab();
  const bool has_bos = !tokens.empty() && tokens.front() == vocab.bos;
  if (vocab.add_bos && !has_bos) tokens.insert(tokens.begin(), vocab.bos);
  return tokens;
}

}  // namespace st
