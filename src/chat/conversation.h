// A chat with a model: its messages, and a sequence of the engine that holds what it can of them.
//
// Inside out like Session: a conversation says what is to be evaluated next and takes what came of
// it, but runs nothing and prints nothing.
//
//   conversation.add({.role = "user", .content = "Hello"});
//   conversation.begin_answer(options);
//   do {
//     feed = conversation.next();
//     reason = conversation.take(engine.evaluate({&feed, 1}, stop).front());
//     show(conversation.take_events());
//   } while (!reason);
//
// Each answer begins with the whole chat, of which only that is evaluated which the sequence does
// not hold: it goes back as far as what it holds differs. So whoever takes back, edits or repeats a
// message pays for no other; keys and values kept, restored or evaluated anew have the same bits.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "chat/chat_prompt.h"
#include "chat/chat_state.h"
#include "chat/output_parser.h"
#include "engine/engine.h"
#include "engine/session.h"
#include "text/marked_text.h"

namespace st {

// What a template makes of messages. May throw Error.
using MakePrompt = std::function<ChatPrompt(std::span<const Message>)>;

struct AnswerTimings {
  int64_t prompt_tokens = 0;     // of the chat up to the answer
  int64_t reused_tokens = 0;     // of these: the sequence held them
  int64_t generated_tokens = 0;  // of the answer, the end's not counted
  int64_t evaluated_tokens = 0;  // of these: went through the model
  DraftCount drafts;
  double prompt_seconds = 0;  // until the first token could be chosen
  double generation_seconds = 0;

  double prompt_rate() const { return rate(prompt_tokens - reused_tokens, prompt_seconds); }
  double generation_rate() const { return rate(evaluated_tokens, generation_seconds); }

 private:
  static double rate(int64_t tokens, double seconds) {  // per second
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
  }
};

// A chat has more tokens than the context.
class ChatTooLong : public Error {
  using Error::Error;
};

class Conversation {
 public:
  // Takes a sequence of the engine, which outlives the conversation.
  Conversation(Engine& engine, MakePrompt make_prompt);
  ~Conversation();
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  // ---- What was said; not while an answer is written ----

  const std::vector<Message>& messages() const { return state_.messages; }
  // Of its content, as of other texts below, what is no UTF-8 becomes U+FFFD: the file of a chat is
  // JSON, and another text there would be another chat.
  void add(Message message);
  // Instead of the system message; empty: none.
  void set_system(const std::string& text);
  // Forgets the last message of the user and all that follows, and returns it; none: there is none.
  std::optional<Message> undo();
  // Forgets the last answer, for another one to begin; false: the last message is none.
  bool forget_answer();
  // Message i says something else now; what followed it is forgotten. REQUIRES: i < their number.
  void edit(size_t i, const std::string& content);
  void clear();  // forgets all but the system message, and what the sequence holds
  // From now on the chat becomes another text.
  void set_make_prompt(MakePrompt make_prompt) { make_prompt_ = std::move(make_prompt); }

  // ---- An answer ----

  // Throws ChatTooLong(kInvalidData) where the chat does not fit the context, and what MakePrompt
  // throws; then nothing has changed. A seed that is given and is not that of the answers before
  // begins anew; else the sampler goes on.
  void begin_answer(const SessionOptions& options);
  bool answering() const { return session_.has_value(); }
  // REQUIRES for all three: answering(). next() is valid until take() or stop().
  Feed next() const { return session_->next(); }
  // Takes what came of next(). A reason: the answer is finished, and is the last message. Throws
  // the outcome's error; next() is then what is left, to be tried again, or stop() ends it.
  std::optional<FinishReason> take(const Outcome& outcome);
  // Ends an answer early. What there is of it is kept; there is no message where nothing is.
  void stop() { finish(FinishReason::kStopped); }

  // What was written since the last call.
  std::vector<OutputEvent> take_events() { return std::exchange(events_, {}); }
  // Of the answer that is written, or of the last one.
  const AnswerTimings& timings() const { return timings_; }

  // ---- For who saves it ----

  const ChatState& state() const { return state_; }
  SequenceId sequence() const { return sequence_; }
  void set_settings(std::string settings) { state_.settings = std::move(settings); }
  // Becomes another one. `restore` makes the sequence hold the keys and values of its tokens, and
  // says whether it has; else they are evaluated when they are needed. Not while an answer is
  // written.
  void become(ChatState state, const std::function<bool(SequenceId)>& restore);

 private:
  void go_back(std::span<const Token> tokens);
  void add_events(std::vector<OutputEvent> events);
  void finish(FinishReason reason);

  Engine& engine_;
  MakePrompt make_prompt_;
  SequenceId sequence_;
  ChatState state_;
  // Of an answer:
  std::optional<Session> session_;
  std::optional<OutputParser> parser_;
  std::vector<OutputEvent> events_;
  AnswerTimings timings_;
  Clock::time_point phase_;  // when it began
  bool in_prompt_ = false;   // which phase that is
};

}  // namespace st
