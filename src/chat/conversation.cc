#include "chat/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "chat/chat_template.h"
#include "text/utf8.h"

namespace st {
namespace {

bool is_system(const Message& message) { return message.role == "system"; }
bool is_user(const Message& message) { return message.role == "user"; }

bool is_empty(const Message& message) {
  return message.content.empty() && message.reasoning.empty() && message.calls.empty();
}

uint64_t count_calls(std::span<const Message> messages) {
  uint64_t calls = 0;
  for (const Message& message : messages) calls += message.calls.size();
  return calls;
}

// Whether a limit ended it, not the model.
bool is_cut(FinishReason reason) {
  return reason == FinishReason::kMaxTokens || reason == FinishReason::kContextFull ||
         reason == FinishReason::kStopped;
}

}  // namespace

Conversation::Conversation(Engine& engine, MakePrompt make_prompt)
    : engine_(engine), make_prompt_(std::move(make_prompt)), sequence_(engine.cache().create()) {}

Conversation::~Conversation() { engine_.cache().erase(sequence_); }

// ---- What was said ----

void Conversation::add(Message message) {
  message.content = well_formed(message.content);
  state_.messages.push_back(std::move(message));
}

void Conversation::set_system(const std::string& text) {
  auto& messages = state_.messages;
  const bool has = !messages.empty() && is_system(messages.front());
  if (has) messages.erase(messages.begin());
  if (!text.empty())
    messages.insert(messages.begin(), {.role = "system", .content = well_formed(text)});
}

std::optional<Message> Conversation::undo() {
  auto& messages = state_.messages;
  const auto last = std::ranges::find_if(messages.rbegin(), messages.rend(), is_user);
  if (last == messages.rend()) return std::nullopt;
  Message message = std::move(*last);
  messages.erase(std::prev(last.base()), messages.end());
  return message;
}

bool Conversation::forget_answer() {
  auto& messages = state_.messages;
  if (messages.empty() || messages.back().role != "assistant") return false;
  messages.pop_back();
  return true;
}

void Conversation::edit(size_t i, const std::string& content) {
  state_.messages.resize(i + 1);
  state_.messages[i].content = well_formed(content);
  state_.messages[i].parts.clear();
}

void Conversation::clear() {
  auto& messages = state_.messages;
  const bool has = !messages.empty() && is_system(messages.front());
  messages.resize(has ? 1 : 0);
  engine_.cache().truncate(sequence_, 0);
  state_.tokens.clear();
}

// ---- An answer ----

// To where the sequence holds nothing but the beginning of `tokens`, the last of which is always
// evaluated. Where the tiles of a window are gone that is the very beginning.
void Conversation::go_back(std::span<const Token> tokens) {
  KvPool& cache = engine_.cache();
  const auto differ = std::ranges::mismatch(state_.tokens, tokens.first(tokens.size() - 1)).in1;
  int64_t held = differ - state_.tokens.begin();
  if (held < cache.first_kept(sequence_)) held = 0;
  cache.truncate(sequence_, held);
  state_.tokens.resize(static_cast<size_t>(held));
}

void Conversation::begin_answer(const SessionOptions& options) {
  ChatPrompt prompt = make_prompt_(state_.messages);
  const std::vector<Token> tokens = prompt_tokens(engine_.tokenizer(), prompt.text);
  if (tokens.empty()) fail(ErrorCode::kInvalidData, "the chat is an empty text");
  if (std::ssize(tokens) > engine_.context()) {
    throw ChatTooLong(ErrorCode::kInvalidData,
                      fmt::format("the chat has {} tokens, the context {}; -c allows more",
                                  tokens.size(), engine_.context()));
  }
  go_back(tokens);
  timings_ = {.prompt_tokens = std::ssize(tokens), .reused_tokens = std::ssize(state_.tokens)};

  SessionOptions session = options;
  SamplerOptions& sampler = session.sampler;
  const bool goes_on = sampler.seed == SamplerOptions().seed || sampler.seed == state_.seed;
  if (state_.seed && goes_on) {
    sampler.seed = *state_.seed;
    sampler.used = state_.used;
  }
  session_.emplace(engine_.tokenizer(), engine_.cache(), sequence_, std::move(session),
                   state_.tokens);
  session_->feed(std::span(tokens).subspan(state_.tokens.size()));
  prompt.parser.first_call = count_calls(state_.messages);
  parser_.emplace(std::move(prompt.parser));
  events_.clear();
  phase_ = Clock::now();
  in_prompt_ = true;
}

std::optional<FinishReason> Conversation::take(const Outcome& outcome) {
  if (in_prompt_ && !outcome.error) {
    timings_.prompt_seconds = seconds_since(phase_);
    phase_ = Clock::now();
    in_prompt_ = false;
  }
  const std::optional<FinishReason> reason = session_->take(outcome);
  add_events(parser_->push(session_->take_text()));
  timings_.generated_tokens = session_->generated();
  timings_.evaluated_tokens = std::ssize(session_->held()) - timings_.prompt_tokens;
  timings_.drafts = session_->drafts();
  if (reason) finish(*reason);
  return reason;
}

void Conversation::add_events(std::vector<OutputEvent> events) {
  std::ranges::move(events, std::back_inserter(events_));
}

void Conversation::finish(FinishReason reason) {
  add_events(parser_->push(session_->finish_text()));
  add_events(parser_->finish(is_cut(reason)));
  (in_prompt_ ? timings_.prompt_seconds : timings_.generation_seconds) = seconds_since(phase_);
  const std::span<const Token> held = session_->held();
  state_.tokens.assign(held.begin(), held.end());
  state_.seed = session_->sampler().seed();
  state_.used = session_->sampler().used();
  if (!is_empty(parser_->message())) state_.messages.push_back(parser_->message());
  session_.reset();
  parser_.reset();
}

// ---- For who saves it ----

void Conversation::become(ChatState state, const std::function<bool(SequenceId)>& restore) {
  std::vector<Token> tokens = std::exchange(state.tokens, {});
  engine_.cache().truncate(sequence_, 0);
  state_ = std::move(state);
  if (restore(sequence_)) state_.tokens = std::move(tokens);
}

}  // namespace st
