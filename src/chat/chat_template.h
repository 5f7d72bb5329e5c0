// From the messages of a chat to a prompt, by the model's own template.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/chat_abilities.h"
#include "chat/chat_prompt.h"
#include "chat/message.h"
#include "text/marked_text.h"
#include "text/tokenizer.h"

namespace st {

struct ChatTemplateOptions {
  std::string bos = {}, eos = {};  // names of the tokens, for the template
  bool generic_tools = false;      // tools that the template ignores are explained in our own words
};

// Immutable; all methods may be called from several threads at once.
class ChatTemplate {
 public:
  // Renders some small chats. Throws Error(kInvalidData) "chat template: line N: ..." if `source`
  // is no template.
  explicit ChatTemplate(std::string_view source, ChatTemplateOptions options = {});
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  const std::string& source() const;
  const ChatAbilities& abilities() const;

  // Messages in a form that the template does not take are brought into one that says the same: see
  // adapt_messages(). The answer may call the tools of the request. A last message of an assistant
  // is continued, unless the request wants a generation prompt after it. `now` is for templates
  // that tell the date. Throws Error(kInvalidData) if the template refuses the chat, would leave
  // out a part of it, or does not read a variable.
  ChatPrompt render(const ChatRequest& request, const std::tm& now) const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

// The local time.
std::tm local_time_now();

// The template of a model. `choice` is empty, the name of one that the model has beside its first,
// the name of a built-in one ("chatml", "gemma"), or a file. A model without any gets ChatML if it
// has the token <|im_start|>, which is told to `notices`. Throws Error(kNotFound) if there is none,
// Error(kInvalidData) if it is wrong.
ChatTemplate model_chat_template(const Tokenizer& tokenizer, const std::string& choice,
                                 bool generic_tools, std::vector<std::string>* notices);

// The tokens of a prompt; in front BOS if the vocabulary asks for it and the template has not
// written it.
std::vector<Token> prompt_tokens(const Tokenizer& tokenizer, const MarkedText& prompt);

}  // namespace st
