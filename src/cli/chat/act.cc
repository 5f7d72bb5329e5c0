// What the commands of a chat do.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "cli/chat/chat.h"
#include "cli/chat/chat_commands.h"
#include "cli/option_values.h"
#include "cli/report.h"
#include "cli/streams.h"

namespace st {
namespace {

std::string first_line(std::string_view text) {
  constexpr size_t kMost = 60;
  const std::string_view line = text.substr(0, text.find('\n'));
  const std::string shown = printable(line, kMost);
  return line.size() < text.size() && line.size() <= kMost ? shown + "..." : shown;
}

// RFC 4648.
std::string base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    uint32_t group = 0;
    for (size_t i = at; i < at + 3; ++i) {
      group = group << 8 | (i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0u);
    }
    const size_t digits = std::min<size_t>(bytes.size() - at, 3) + 1;
    for (size_t i = 0; i < 4; ++i) out += i < digits ? kDigits[group >> (18 - 6 * i) & 63] : '=';
  }
  return out;
}

int64_t count_users(std::span<const Message> messages) {
  return std::ranges::count(messages, "user", &Message::role);
}

}  // namespace

void Chat::show_help(const std::string&) {
  screen_.say(describe_chat_commands());
  screen_.say(
      "Enter sends. Alt+Enter, or a backslash at the end of a line, begins another line; so does "
      "Enter between \"\"\" and \"\"\". Ctrl-G edits in $EDITOR, Tab completes commands. Ctrl-C "
      "stops an answer and keeps it, Ctrl-D leaves.\n");
}

void Chat::leave(const std::string&) { leaving_ = true; }

void Chat::clear(const std::string&) {
  const size_t before = conversation_.messages().size();
  conversation_.clear();
  attached_.clear();
  keep();
  const size_t gone = before - conversation_.messages().size();
  if (!journal_ || gone == 0) {
    screen_.say("a new chat\n");
  } else if (!keep_failed_) {
    screen_.say(fmt::format("a new chat: {} removed from {}, for good: /undo does not help\n",
                            counted(gone, "message"), printable_path(journal_->path())));
  }
}

void Chat::undo(const std::string&) {
  const std::optional<Message> message = conversation_.undo();
  screen_.say(message ? fmt::format("taken back: {}\n", first_line(message->content))
                      : "there is nothing to take back\n");
}

void Chat::edit(const std::string& argument) {
  const std::vector<Message>& messages = conversation_.messages();
  const int64_t count = count_users(messages);
  if (count == 0) {
    screen_.say("there is no message yet\n");
    return;
  }
  int64_t which = count;
  if (!argument.empty()) {
    const std::string wrong = read_whole(argument, {1, count}, which);
    if (!wrong.empty()) {
      fail(ErrorCode::kInvalidUsage, "message '{}': {}", printable(argument), wrong);
    }
  }
  int64_t seen = 0;
  for (const Message& message : messages) {
    if (message.role == "user" && ++seen == which) offered_ = message.content;
  }
  edited_ = count - which + 1;
}

void Chat::system(const std::string& argument) {
  const std::vector<Message>& messages = conversation_.messages();
  if (!argument.empty()) set_system(argument == "none" ? "" : argument);
  const bool has = !messages.empty() && messages.front().role == "system";
  screen_.say(has ? fmt::format("system: {}\n", for_terminal(messages.front().content))
                  : "there is no system message\n");
}

void Chat::set(const std::string& argument) {
  const size_t space = std::min(argument.find_first_of(" ="), argument.size());
  const std::string name = argument.substr(0, space);
  if (name.empty()) return show_settings();
  const size_t begin = std::min(argument.find_first_not_of(" =", space), argument.size());
  const std::string value = argument.substr(begin);
  if (name == "memory") return set_memory(value);
  change(settings_, name, value);
  changed_.insert_or_assign(name, value);
  conversation_.set_settings(format_settings(changed_));
  screen_.say(fmt::format("{} {}\n", name, value_of(settings_, name)));
}

void Chat::set_memory(const std::string& value) {
  const bool lifts = value == "none" || value == "off";
  uint64_t bytes = kNoBudget;
  if (!value.empty() && !lifts) {
    if (const std::string wrong = read_size(value, bytes); !wrong.empty()) {
      fail(ErrorCode::kInvalidUsage, "memory: '{}': {}, or none", printable(value), wrong);
    }
    if (!engine_.memory()) {
      fail(ErrorCode::kInvalidUsage,
           "all of the model is in memory; start with --memory SIZE to "
           "change its budget");
    }
  }
  if (!engine_.memory()) return screen_.say("memory no limit: all of the model is in memory\n");
  if (!value.empty()) engine_.set_memory(bytes);
  const MemoryReport report = *engine_.memory();
  screen_.say(fmt::format("memory {}: room for {} of {} {}\n", format_budget(report.plan.budget),
                          report.slots, report.plan.experts, report.plan.units));
}

void Chat::read_file(const std::string& argument) {
  if (argument.empty()) fail(ErrorCode::kInvalidUsage, "which file? /read FILE");
  if (argument == "none") {
    attached_.clear();
    screen_.say("no file goes with the next message\n");
    return;
  }
  const std::string path = home_expanded(argument);
  attach(path);
  screen_.say(fmt::format("{}: goes with the next message, {}\n", printable_path(path),
                          format_bytes(attached_.back().size())));
}

void Chat::copy(const std::string&) {
  const std::vector<Message>& messages = conversation_.messages();
  const auto last =
      std::ranges::find(messages.rbegin(), messages.rend(), "assistant", &Message::role);
  if (last == messages.rend()) {
    screen_.say("there is no answer yet\n");
  } else if (!screen_.has_sequences()) {
    screen_.say("this terminal has no clipboard\n");
  } else {
    screen_.show(fmt::format("\x1b]52;c;{}\x07", base64(last->content)));
    screen_.say("copied, if the terminal allows it\n");
  }
}

}  // namespace st
