// From the messages of a chat to a prompt: a model's template, and what it can.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/message.h"
#include "text/marked_text.h"
#include "text/tokenizer.h"

namespace st {

// What a template makes of a message, found out by rendering small chats.
struct ChatAbilities {
  bool system = false;           // a system message first
  bool second_system = false;    // and another one after it
  bool later_system = false;     // and one between the turns
  bool lone_system = false;      // a system message and nothing else
  bool same_role_twice = false;  // two messages of a user, or an assistant, in a row
  bool assistant_first = false;
  bool tools = false;      // says which tools are offered
  bool tool_role = false;  // results of calls
  bool calls = false;      // of an assistant, with arguments as an object or as text
  bool object_arguments = false, text_arguments = false;
  bool thinking_switch = false;  // the variable enable_thinking changes the prompt
  // How content may be: as text, as a list of parts. Of a system message, of others.
  bool system_text = false, system_parts = false;
  bool text = false, parts = false;
  std::string turn_end;  // what follows an assistant's text: "<|im_end|>\n"
};

struct ChatPrompt {
  MarkedText text;
  bool in_reasoning = false;  // an answer begins inside reasoning
};

// Immutable; all methods may be called from several threads at once.
class ChatTemplate {
 public:
  struct Options {
    std::string bos, eos;  // names of the tokens, for the template
    bool generic_tools =
        false;  // tools are explained in our own words if the template ignores them
  };
  // Throws Error(kInvalidData) "line N: ..." if the template is none.
  ChatTemplate(std::string_view source, Options options);
  ~ChatTemplate();

  const ChatAbilities& abilities() const;

  // Throws Error(kInvalidData) if the template refuses the chat, or would ignore a part of it;
  // names the message. `now`: for templates that tell the date.
  ChatPrompt render(const ChatRequest& request, const std::tm& now) const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

// The template of a model: `choice` is empty, the name of one of several that the model has, the
// name of a built-in one ("chatml", "gemma"), or a file. Without one a vocabulary with <|im_start|>
// gets ChatML, which is told to `notices`. Throws Error(kNotFound | kInvalidData) if there is none.
ChatTemplate model_chat_template(const Tokenizer& tokenizer, std::string_view choice,
                                 bool generic_tools, std::vector<std::string>& notices);

// The tokens of a prompt, with the vocabulary's BOS in front if it asks for one and the template
// has not written it.
std::vector<Token> prompt_tokens(const Tokenizer& tokenizer, const MarkedText& prompt);

}  // namespace st
