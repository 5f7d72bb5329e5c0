#include "cli/chat/chat.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "cli/args.h"
#include "cli/chat/chat_commands.h"
#include "cli/chat/prompt_progress.h"
#include "cli/pasted.h"
#include "cli/report.h"
#include "cli/streams.h"

namespace st {
namespace {

constexpr uint64_t kMostAttached = uint64_t{16} << 20;  // bytes of a file

std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n";
  const size_t begin = std::min(text.find_first_not_of(kSpace), text.size());
  return std::string(text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin));
}

// A path is none: "/usr/bin", and a comment is none: "/* ...".
bool is_command(std::string_view line) {
  if (!line.starts_with('/')) return false;
  const std::string_view word = line.substr(1, std::min(line.find(' '), line.size()) - 1);
  return word == "?" ||
         (!word.empty() && std::ranges::all_of(word, [](char c) { return c >= 'a' && c <= 'z'; }));
}

std::string_view how_it_ended(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStopped:
      return "stopped after ";
    case FinishReason::kMaxTokens:
      return "cut after ";
    case FinishReason::kContextFull:
      return "cut, the context is full, after ";
    default:
      return "";
  }
}

constexpr const char* kMakesRoom = "/undo takes back the last message, /clear all of them\n";

// What a budget cost between two moments.
std::string describe_experts(const MemoryReport& now, const MemoryReport& before, int64_t tokens,
                             double seconds) {
  const CachedExpertsStats& a = before.experts;
  const CachedExpertsStats& b = now.experts;
  const auto asked = static_cast<double>(std::max<uint64_t>(b.asked - a.asked, 1));
  const auto per_token =
      (b.bytes_read - a.bytes_read) / static_cast<uint64_t>(std::max<int64_t>(tokens, 1));
  const double waited = seconds > 0 ? (b.stall_seconds - a.stall_seconds) / seconds : 0;
  return fmt::format("; {} {:.0f} % found in memory, {} read per token, {:.0f} % waiting",
                     now.plan.units, 100 * static_cast<double>(b.found - a.found) / asked,
                     format_bytes(per_token), 100 * waited);
}

}  // namespace

Chat::Chat(Engine& engine, const ChatTemplate& chat_template, ChatSettings settings,
           JournalOptions kept, ChatScreen& screen)
    : engine_(engine),
      template_(chat_template),
      given_(std::move(settings)),
      settings_(given_),
      kept_(kept),
      screen_(screen),
      conversation_(engine, [this](auto messages) { return make_prompt(messages); }) {
  engine_.observe_routing([this](int64_t layer, std::span<const int32_t> chosen) {
    drafting_ ? uses_.hold(layer, chosen) : uses_.count(layer, chosen);
  });
}

Chat::~Chat() { engine_.observe_routing({}); }

ChatPrompt Chat::make_prompt(std::span<const Message> messages) const {
  return template_.render({.messages = {messages.begin(), messages.end()},
                           .generation_prompt = true,
                           .think = settings_.think},
                          local_time_now());
}

void Chat::attach(const std::string& path) {
  const std::string text = read_text_file(path, kMostAttached);
  const std::string name = path.substr(path.rfind('/') + 1);
  attached_.push_back(fmt::format("{}:\n```\n{}{}```\n\n", name, text,
                                  text.empty() || text.ends_with('\n') ? "" : "\n"));
}

void Chat::Totals::add(const AnswerTimings& answer) {
  ++answers;
  timings.prompt_tokens += answer.prompt_tokens;
  timings.reused_tokens += answer.reused_tokens;
  timings.generated_tokens += answer.generated_tokens;
  timings.evaluated_tokens += answer.evaluated_tokens;
  timings.drafts += answer.drafts;
  timings.prompt_seconds += answer.prompt_seconds;
  timings.generation_seconds += answer.generation_seconds;
}

// ---- A message and its answer ----

Chat::Answered Chat::send(const std::string& text, const Stop& stop) {
  std::string content = fmt::format("{}{}", fmt::join(attached_, ""), text);
  conversation_.add({.role = "user", .content = std::move(content)});
  try {
    const Answered answered = answer(stop);
    if (answered == Answered::kNothing) {
      conversation_.undo();
    } else {
      attached_.clear();
      keep();
    }
    return answered;
  } catch (const Error&) {
    conversation_.undo();
    throw;
  }
}

Chat::Answered Chat::answer(const Stop& stop) {
  const EngineSnapshot before = engine_.snapshot();
  const size_t messages = conversation_.messages().size();
  conversation_.begin_answer(settings_.answer);
  FinishReason reason = FinishReason::kStopped;
  try {
    write_answer(stop, reason);
  } catch (const Error& e) {
    conversation_.stop();
    show_events();
    screen_.end_answer();
    if (e.code() != ErrorCode::kCancelled) throw;
  }
  tell(reason, before);
  if (conversation_.messages().size() == messages) return Answered::kNothing;
  return reason == FinishReason::kStopped ? Answered::kStopped : Answered::kWhole;
}

void Chat::write_answer(const Stop& stop, FinishReason& reason) {
  for (std::optional<FinishReason> end; !end;) {
    const Feed feed = conversation_.next();
    drafting_ = feed.logits == Wanted::kEach;
    const Outcome& outcome = evaluate(feed, stop);
    const int64_t before = conversation_.timings().evaluated_tokens;
    end = conversation_.take(outcome);
    uses_.count_held(conversation_.timings().evaluated_tokens - before, outcome.tokens);
    show_events();
    if (!end) stop.check();
    reason = end.value_or(reason);
  }
  screen_.answer({});  // an empty one has an end, too
  screen_.end_answer();
}

const Outcome& Chat::evaluate(const Feed& feed, const Stop& stop) {
  const PromptProgress progress(engine_, screen_, std::ssize(feed.tokens));
  return engine_.evaluate({&feed, 1}, stop).front();
}

void Chat::show_events() {
  for (const OutputEvent& event : conversation_.take_events()) {
    event.kind == OutputEvent::kReasoning ? screen_.reasoning(event.text)
                                          : screen_.answer(event.text);
  }
}

void Chat::tell(FinishReason reason, const EngineSnapshot& before) {
  const AnswerTimings& t = conversation_.timings();
  totals_.add(t);
  const std::string_view how = how_it_ended(reason);
  if (!settings_.timings && how.empty()) return;
  std::string text = fmt::format("{}{}", how, counted(t.generated_tokens, "token"));
  if (settings_.timings) text += describe_timings(before);
  screen_.remark(fmt::format("{}[{}]\n", interrupts_ ? "\n" : "", text));
  if (interrupts_ && reason == FinishReason::kContextFull) screen_.remark(kMakesRoom);
}

std::string Chat::describe_timings(const EngineSnapshot& before) const {
  const AnswerTimings& t = conversation_.timings();
  const int64_t fresh = t.prompt_tokens - t.reused_tokens;
  std::string text =
      fmt::format(", {:.1f} tok/s{}; prompt {} new of {} tokens, {:.1f} tok/s", t.generation_rate(),
                  describe_drafts(t.drafts), fresh, t.prompt_tokens, t.prompt_rate());
  const EngineSnapshot now = engine_.snapshot();
  if (now.memory && before.memory) {
    text += describe_experts(*now.memory, *before.memory, fresh + t.evaluated_tokens,
                             t.prompt_seconds + t.generation_seconds);
  }
  return text;
}

// ---- At a terminal ----

int Chat::talk(TakenInterrupts& interrupts, const std::string& history) {
  interrupts_ = &interrupts;
  const auto editor = make_line_editor({.screen = screen_.fd(),
                                        .editing = screen_.has_sequences(),
                                        .color = screen_.color(),
                                        .history = history,
                                        .complete = complete_chat_line},
                                       interrupts);
  while (!leaving_) {
    if (interrupt_stop().requested()) return kExitInterrupted;
    const Typed typed = editor->read(std::exchange(offered_, {}));
    if (typed.end == Typed::End::kEndOfInput) return kExitOk;
    if (typed.end == Typed::End::kInterrupt && typed.text.empty() && interrupted_) {
      return kExitInterrupted;
    }
    handle(typed);
    keep();  // also what a command has taken back
  }
  return kExitOk;
}

void Chat::handle(const Typed& typed) {
  const std::optional<int64_t> edited = std::exchange(edited_, {});
  interrupted_ = typed.end == Typed::End::kInterrupt && typed.text.empty();
  if (interrupted_) screen_.remark("Ctrl-C once more leaves, and so does Ctrl-D\n");
  if (typed.end == Typed::End::kInterrupt || trimmed(typed.text).empty()) return;
  if (is_command(typed.text)) return act(trimmed(typed.text));
  for (int64_t n = edited.value_or(0); n > 0; --n) conversation_.undo();
  ask(typed.text.starts_with("//") ? typed.text.substr(1) : typed.text);
}

void Chat::act(const std::string& line) {
  const std::string name = line.substr(0, line.find(' '));
  const ChatCommand* command = find_chat_command(name);
  if (!command) {
    std::vector<std::string> names;
    for (const ChatCommand& known : chat_commands()) names.emplace_back(known.name);
    const std::string meant = nearest(name, names);
    screen_.say(
        fmt::format("no command {}{}; /help lists them, and a message that begins with / is "
                    "written //\n",
                    for_terminal(name), meant.empty() ? "" : ", did you mean " + meant + "?"));
    return;
  }
  try {
    (this->*command->act)(trimmed(line.substr(name.size())));
  } catch (const Error& e) {
    screen_.say(fmt::format("error: {}\n", e.what()));
  }
}

template <typename Work>
std::optional<Chat::Answered> Chat::attempt(Work work) {
  const StoppableWork stoppable(*interrupts_);
  const QuietKeys quiet;
  std::optional<Answered> answered;
  try {
    answered = work(stoppable.stop());
  } catch (const ChatTooLong& e) {
    screen_.say(fmt::format("error: {}\n", e.what()));
    if (!conversation_.messages().empty()) screen_.remark(kMakesRoom);
  } catch (const Error& e) {
    screen_.say(fmt::format("error: {}\n", e.what()));
  }
  screen_.show("\n");
  return answered;
}

void Chat::ask(const std::string& text) {
  const auto answered = attempt([&](const Stop& stop) { return send(text, stop); });
  if (answered == Answered::kWhole || answered == Answered::kStopped) return;
  screen_.remark("the message was taken back, to be changed or sent again\n");
  if (!attached_.empty()) screen_.remark("files go with it; /read none forgets them\n");
  offered_ = text;
}

void Chat::regenerate(const std::string&) {
  const std::vector<Message>& messages = conversation_.messages();
  if (messages.empty() || messages.back().role != "assistant") {
    screen_.say("there is no answer yet\n");
    return;
  }
  const Message old = messages.back();
  conversation_.forget_answer();
  const auto answered = attempt([&](const Stop& stop) { return answer(stop); });
  if (!answered || *answered == Answered::kNothing) conversation_.add(old);
}

}  // namespace st
