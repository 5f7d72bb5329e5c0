#include "chat/output_parser.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "chat/call_scanner.h"

namespace st {
namespace {

constexpr OutputFormat kFormats[] = {{.name = "hermes",
                                      .reasoning_open = "<think>",
                                      .reasoning_close = "</think>",
                                      .call_open = "<tool_call>",
                                      .call_close = "</tool_call>",
                                      .call_name = "name",
                                      .call_arguments = "arguments"}};

constexpr std::string_view kSpace = " \t\n\r\f\v";

bool is_space(char c) { return kSpace.find(c) != std::string_view::npos; }
bool is_line_feed(char c) { return c == '\n'; }

// Waits for a tag, and for white space of which at most so many bytes before it belong to it.
class TagWatch {
 public:
  TagWatch(std::string_view tag, bool (*belongs)(char), size_t most)
      : tag_(tag), belongs_(belongs), most_(most) {}

  // Appends what cannot belong to the tag to `out`; whether the tag is complete.
  bool push(char c, std::string& out) {
    if (held_.empty() && belongs_(c)) {
      space_ += c;
      if (space_.size() <= most_) return false;
      out += space_.front();
      space_.erase(0, 1);
      return false;
    }
    held_ += c;
    if (held_ == tag_) return true;
    while (!held_.empty() && !tag_.starts_with(held_)) {
      out += std::exchange(space_, {});
      (belongs_(held_.front()) ? space_ : out) += held_.front();
      held_.erase(0, 1);
    }
    return false;
  }

  // What is held back, which from now on is nothing.
  std::string take() { return std::exchange(space_, {}) + std::exchange(held_, {}); }

 private:
  std::string_view tag_;
  bool (*belongs_)(char);
  size_t most_;
  std::string space_, held_;  // the beginning of what may become the tag
};

constexpr size_t kAny = SIZE_MAX;

}  // namespace

// Every byte is one step, so it cannot matter where pieces begin.
struct OutputParser::Impl {
  enum class State {
    kBegin,           // what comes first may open reasoning
    kOpened,          // the prompt has: what comes first may do so again
    kReasoningBegin,  // one line feed belongs to the tag
    kReasoning,
    kReasoningEnd,  // and all line feeds after the other
    kContent,
    kCall,       // after its tag
    kCallEnd,    // after its object
    kAfterCall,  // white space belongs to the call
  };

  explicit Impl(OutputParserOptions options_)
      : options(std::move(options_)),
        state(options.in_reasoning ? State::kOpened : State::kBegin),
        tag(options.format->reasoning_open, is_space, kAny) {
    message.role = "assistant";
  }

  void add(OutputEvent::Kind kind, std::string_view text) {
    if (text.empty()) return;
    if (events.empty() || events.back().kind != kind) events.push_back({kind});
    events.back().text += text;
    std::string& all = kind == OutputEvent::kReasoning ? message.reasoning
                       : kind == OutputEvent::kContent ? message.content
                                                       : message.calls.back().arguments;
    all += text;
  }

  void enter(State next) {
    state = next;
    const OutputFormat& format = *options.format;
    if (next == State::kReasoning) tag = TagWatch(format.reasoning_close, is_line_feed, 1);
    if (next == State::kContent) tag = TagWatch(format.call_open, is_space, kAny);
    if (next == State::kCallEnd) tag = TagWatch(format.call_close, is_space, kAny);
    if (next == State::kCall) {
      scanner.emplace(format.call_name, format.call_arguments);
      announced = false;
    }
  }

  void push(std::string_view text) {
    for (const char c : text) step(c);
  }

  // The state begins with this byte.
  void go_on(State next, char c) {
    enter(next);
    step(c);
  }

  void step(char c) {
    switch (state) {
      case State::kBegin:
        return first(c, State::kContent);
      case State::kOpened:
        return first(c, State::kReasoningBegin);
      case State::kReasoningBegin:
        return c == '\n' ? enter(State::kReasoning) : go_on(State::kReasoning, c);
      case State::kReasoning:
        return reasoning(c);
      case State::kReasoningEnd:
        return c == '\n' ? void() : go_on(State::kContent, c);
      case State::kContent:
        return content(c);
      case State::kCall:
        return call(c);
      case State::kCallEnd:
        return call_end(c);
      case State::kAfterCall:
        return is_space(c) ? void() : go_on(State::kContent, c);
    }
  }

  // `other`: what follows if no tag does.
  void first(char c, State other) {
    std::string text;
    if (tag.push(c, text)) return enter(State::kReasoningBegin);
    if (text.empty()) return;
    text += tag.take();
    enter(other);
    push(text);
  }

  void reasoning(char c) {
    std::string text;
    const bool closed = tag.push(c, text);
    add(OutputEvent::kReasoning, text);
    if (closed) enter(State::kReasoningEnd);
  }

  void content(char c) {
    if (options.tools.empty()) return add(OutputEvent::kContent, {&c, 1});
    std::string text;
    const bool opened = tag.push(c, text);
    add(OutputEvent::kContent, text);
    if (!opened) return;
    block = tag.take();
    enter(State::kCall);
  }

  void call(char c) {
    block += c;
    CallScanner::Status status = scanner->push(c);
    const bool known = std::ranges::count(options.tools, scanner->name()) > 0;
    if (!announced && status == CallScanner::kEnd && !known) status = CallScanner::kBroken;
    if (!announced && scanner->has_name() && !known) status = CallScanner::kBroken;
    if (status == CallScanner::kBroken) return broken(c);
    if (!announced && known && (scanner->has_arguments() || status == CallScanner::kEnd))
      announce();
    if (!announced) return;
    add(OutputEvent::kArguments, scanner->take_arguments());
    if (status == CallScanner::kEnd) end_call();
  }

  void announce() {
    announced = true;
    block.clear();
    message.calls.push_back(
        {call_id(options.first_call + message.calls.size()), scanner->name(), {}});
    events.push_back({OutputEvent::kCallBegun, scanner->name()});
  }

  void end_call() {
    if (!scanner->has_arguments()) add(OutputEvent::kArguments, "{}");
    events.push_back({OutputEvent::kCallEnded});
    enter(State::kCallEnd);
  }

  // With this byte the block is no call, or no more of it.
  void broken(char c) {
    if (announced) {
      end_call();
      return step(c);
    }
    block.pop_back();
    const size_t end = block.find_last_not_of(kSpace) + 1;
    const std::string rest = block.substr(end) + c;  // perhaps before a call
    add(OutputEvent::kContent, std::string_view(block).substr(0, end));
    enter(State::kContent);
    push(rest);
  }

  void call_end(char c) {
    std::string text;
    if (tag.push(c, text)) return enter(State::kAfterCall);
    if (text.empty()) return;
    text += tag.take();
    enter(State::kAfterCall);
    push(text);
  }

  void finish() {
    if (state == State::kOpened) {
      const std::string text = tag.take();
      enter(State::kReasoningBegin);
      push(text);
    }
    const bool is_content = state == State::kBegin || state == State::kContent;
    if (is_content) add(OutputEvent::kContent, tag.take());
    if (state == State::kReasoning) add(OutputEvent::kReasoning, tag.take());
    if (state == State::kCall && !announced && !cut) add(OutputEvent::kContent, block);
  }

  const OutputParserOptions options;
  State state;
  TagWatch tag;       // that the state waits for
  std::string block;  // of a call that is not announced, from the space before its tag
  std::optional<CallScanner> scanner;  // of the call
  bool announced = false;
  bool cut = false;
  Message message;
  std::vector<OutputEvent> events;  // since the last push
};

const OutputFormat* find_output_format(std::string_view name) {
  const auto* found = std::ranges::find(kFormats, name, &OutputFormat::name);
  return found == std::end(kFormats) ? nullptr : found;
}

OutputParser::OutputParser(OutputParserOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}

OutputParser::~OutputParser() = default;

std::vector<OutputEvent> OutputParser::push(std::string_view piece) {
  impl_->push(piece);
  return std::exchange(impl_->events, {});
}

std::vector<OutputEvent> OutputParser::finish(bool cut) {
  impl_->cut = cut;
  impl_->finish();
  return std::exchange(impl_->events, {});
}

const Message& OutputParser::message() const { return impl_->message; }

std::string_view OutputParser::finish_reason() const {
  if (impl_->cut) return "length";
  return impl_->message.calls.empty() ? "stop" : "tool_calls";
}

}  // namespace st
