// A chat that is kept in a file, turn by turn.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "chat/session_folder.h"
#include "cli/chat/chat.h"
#include "cli/chat/chat_commands.h"
#include "cli/report.h"
#include "cli/streams.h"

namespace st {
namespace {

constexpr uint64_t kSessionsAtMost = 8;  // of the size that one may have: what all may have

}  // namespace

void Chat::keep_in(const std::string& name_or_file) {
  auto journal =
      std::make_unique<Journal>(engine_, session_path(name_or_file), template_.source(), kept_);
  if (!journal->is_new()) {
    conversation_.become(journal->chat(), [&](SequenceId id) { return journal->restore(id); });
    journal->warm();
    take_settings();
  }
  journal_ = std::move(journal);
  for (const std::string& notice : journal_->take_notices()) {
    screen_.say(fmt::format("note: {}\n", notice));
  }
  for (const std::string& name : shrink_sessions(kSessionsAtMost * kept_.limit)) {
    screen_.say(fmt::format("note: session {}: its text stays; keys and values made room\n", name));
  }
}

// Those that the command line has not given another value.
void Chat::take_settings() {
  settings_ = given_;
  changed_.clear();
  try {
    changed_ = parse_settings(conversation_.state().settings);
    for (const auto& [name, value] : changed_) {
      ChatSettings next = settings_;
      change(next, name, value);
      if (value_of(given_, name) != value_of({}, name)) continue;
      settings_ = std::move(next);
      screen_.remark(fmt::format("{} {}, as it was set\n", name, value_of(settings_, name)));
    }
  } catch (const Error& e) {
    screen_.say(fmt::format("note: settings of the session: {}\n", e.what()));
  }
}

void Chat::keep() {
  if (!journal_ || (journal_->is_new() && conversation_.messages().empty())) return;
  try {
    journal_->save(conversation_.state(), conversation_.sequence(), conversation_.timings());
    keep_failed_ = false;
  } catch (const Error& e) {
    if (!keep_failed_) {
      screen_.say(fmt::format("note: {}; the chat goes on, and is saved when that is possible\n",
                              e.what()));
    }
    keep_failed_ = true;
  }
  for (const std::string& notice : journal_->take_notices()) {
    screen_.say(fmt::format("note: {}\n", notice));
  }
}

void Chat::show_where_we_were() {
  const std::vector<Message>& messages = conversation_.messages();
  if (messages.empty()) return;
  if (std::ranges::count(messages, "user", &Message::role) == 0) return show_messages();
  screen_.remark(fmt::format("{} so far; the last ones:\n\n", counted(messages.size(), "message")));
  const auto last = std::ranges::find(messages.rbegin(), messages.rend(), "user", &Message::role);
  for (auto message = std::prev(last.base()); message != messages.end(); ++message) {
    const bool user = message->role == "user";
    screen_.say(fmt::format("{}{}\n{}", user ? "> " : "", for_terminal(message->content),
                            user ? "" : "\n"));
  }
}

void Chat::save(const std::string& argument) {
  if (argument.empty() && !journal_) {
    fail(ErrorCode::kInvalidUsage, "under which name? /save NAME");
  }
  const std::string name = home_expanded(argument);
  if (!name.empty()) {
    const std::string path = session_path(name);
    if (::access(path.c_str(), F_OK) == 0) {
      fail(ErrorCode::kInvalidUsage, "{}: is there already; /load it, or take another name",
           printable_path(argument));
    }
    keep_in(name);
  }
  keep_failed_ = false;  // whoever asks is told
  keep();
  if (!keep_failed_) {
    screen_.say(
        fmt::format("kept in {}, and so is what follows\n", printable_path(journal_->path())));
  }
}

void Chat::load(const std::string& argument) {
  if (argument.empty())
    fail(ErrorCode::kInvalidUsage, "which one? /load NAME; /sessions lists them");
  const std::string name = home_expanded(argument), path = session_path(name);
  if (journal_ && journal_->path() == path) {
    fail(ErrorCode::kInvalidUsage, "{}: is this chat", printable_path(argument));
  }
  if (::access(path.c_str(), F_OK) != 0) {
    fail(ErrorCode::kNotFound, "{}: there is no such session; /sessions lists them",
         printable_path(argument));
  }
  keep_in(name);
  attached_.clear();
  if (conversation_.messages().empty()) screen_.say("nothing was said yet\n");
  show_where_we_were();
}

void Chat::sessions(const std::string&) {
  const std::vector<SessionInfo> all = list_sessions();
  if (all.empty()) screen_.say("there are none; /save NAME keeps this chat\n");
  for (const SessionInfo& session : all) {
    screen_.say(fmt::format(
        "{:<20} {:>9} {:>13}  {}\n", session.name, format_bytes(session.bytes),
        counted(session.chat.messages.size(), "message"),
        printable(session.error.empty() ? session_title(session.chat) : session.error, 40)));
  }
}

}  // namespace st
