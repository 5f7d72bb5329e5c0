// session: what is kept of conversations.
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "chat/session_folder.h"
#include "cli/args.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "cli/text_args.h"

namespace st {
namespace {

constexpr uint64_t kMostJson = uint64_t{1} << 28;  // bytes

std::string format_time(int64_t seconds) {
  const auto time = static_cast<time_t>(seconds);
  std::tm local{};
  ::localtime_r(&time, &local);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local)};
}

// The path of a session that there is.
std::string path_of(const std::string& name) {
  const std::string path = session_path(name);
  if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
    fail(ErrorCode::kNotFound, "{}: there is no such session; 'smallthinker session ls' lists them",
         printable_path(name));
  }
  return path;
}

int list() {
  constexpr size_t kTitle = 40;  // bytes
  const std::vector<SessionInfo> sessions = list_sessions();
  if (sessions.empty()) print_err("no sessions in {}\n", printable_path(session_folder()));
  for (const SessionInfo& session : sessions) {
    if (!session.error.empty()) {
      print_out("{:<24} {}\n", session.name, session.error);
      continue;
    }
    print_out("{:<24} {} {:>10} {:>14}  {:<24} {}\n", session.name, format_time(session.modified),
              format_bytes(session.bytes), counted(session.chat.messages.size(), "message"),
              printable(session.model, 24), printable(session_title(session.chat), kTitle));
  }
  return kExitOk;
}

int show(const SessionInfo& session) {
  print_err("{}: {}, {}, {}, {}, of {}\n", printable_path(session.path),
            format_time(session.modified), counted(session.chat.messages.size(), "message"),
            counted(session.chat.tokens.size(), "token"), format_bytes(session.bytes),
            printable(session.model));
  for (const Message& message : session.chat.messages) {
    if (!message.reasoning.empty()) print_out("[thinks] {}\n\n", message.reasoning);
    print_out("[{}] {}\n", message.role, message.content);
    for (const ToolCall& call : message.calls) {
      print_out("[calls] {} {}\n", call.name, call.arguments);
    }
    print_out("\n");
  }
  return kExitOk;
}

int export_messages(const SessionInfo& session, const std::string& file) {
  nlohmann::ordered_json json = {{"messages", nlohmann::ordered_json::array()}};
  for (const Message& message : session.chat.messages) {
    json["messages"].push_back(message_json(message));
  }
  const std::string text = json.dump(2) + "\n";
  if (file.empty()) {
    write_out(text);
  } else {
    AtomicFile out(file);
    out.write(std::as_bytes(std::span(text)));
    out.commit();
  }
  return kExitOk;
}

int import_messages(const std::string& path, const std::string& file) {
  const std::string text = file.empty() ? read_stdin() : read_text_file(file, kMostJson);
  const std::string name = file.empty() ? "standard input" : printable_path(file);
  std::vector<Message> messages = with_context(name, [&] {
    const nlohmann::ordered_json json = parse_ordered_json(text);
    const bool is_list = json.is_array();
    if (!is_list && !json.contains("messages")) {
      fail(ErrorCode::kInvalidData, "want a list of messages, or an object with 'messages'");
    }
    return parse_messages(is_list ? json : json["messages"]);
  });
  write_session(path, std::move(messages));
  return kExitOk;
}

}  // namespace

int execute(const SessionArgs& args) {
  if (args.action == SessionArgs::Action::kList) return list();
  if (args.action == SessionArgs::Action::kRemove) {
    std::vector<std::string> paths;  // none is removed if a name is wrong
    for (const std::string& name : args.names) paths.push_back(path_of(name));
    for (const std::string& path : paths) remove_session(path);
    return kExitOk;
  }
  const std::string& name = args.names.front();
  const std::string file = args.names.size() > 1 ? args.names[1] : "";
  if (args.action == SessionArgs::Action::kImport) {
    return import_messages(session_path(name), file);
  }
  const SessionInfo session = read_session(path_of(name));
  if (args.action == SessionArgs::Action::kShow) return show(session);
  return export_messages(session, file);
}

}  // namespace st
