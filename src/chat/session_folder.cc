#include "chat/session_folder.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/user_folders.h"
#include "chat/journal_file.h"
#include "chat/journal_records.h"

namespace st {
namespace {

constexpr std::string_view kEnding = ".stsession";
constexpr size_t kLongestName = 64;

bool may_be_in_name(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

std::string name_of(const std::string& path) {
  const std::string file = path.substr(path.rfind('/') + 1);  // all of it without a slash
  return file.ends_with(kEnding) ? file.substr(0, file.size() - kEnding.size()) : file;
}

// Of a conversation whose keys and values nobody has.
JournalHeader header_of_text() {
  return {.model = "none",
          .fingerprint = "none",
          .vocabulary = "none",
          .chat_template = "none",
          .kernels = "none",
          .kv_heads = 1,
          .head_dim = 1,
          .vocab = 1,
          .groups = {{.window = 0, .layers = 1, .bytes = 0}}};
}

void write_text(JournalFile& file, const JournalHeader& header, const ChatState& chat,
                const std::string& hot_set = {}) {
  file.replace([&](JournalFile& out) {
    JournalContents contents(header);
    JournalWriter writer(out, contents, 0);
    writer.header(header);
    for (const Message& message : chat.messages) writer.message(message);
    if (chat.seed) writer.sampler(*chat.seed, chat.used);
    if (!chat.settings.empty()) writer.settings(chat.settings);
    writer.commit({});
    writer.hot(hot_set);
  });
}

// False if it has none to lose, or somebody has it open.
bool drop_tiles(const SessionInfo& session) {
  try {
    JournalFile file(session.path, JournalFile::Access::kWrite);
    const ReadJournal journal = read_journal(file);
    if (!journal.contents.has_tiles()) return false;
    write_text(file, journal.header, journal.contents.chat(), journal.hot);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::string session_folder() {
  const std::string folder = user_folder(UserFolder::kState);
  if (folder.empty()) {
    fail(ErrorCode::kNotFound, "no folder for your files: neither HOME nor XDG_STATE_HOME is set");
  }
  return folder + "/sessions";
}

bool is_session_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName && name.front() != '.' &&
         std::ranges::all_of(name, may_be_in_name);
}

std::string session_path(const std::string& name_or_file) {
  const bool is_file =
      name_or_file.find('/') != std::string::npos || name_or_file.ends_with(kEnding);
  if (is_file && name_or_file.find('\0') == std::string::npos) return name_or_file;
  if (!is_session_name(name_or_file)) {
    fail(ErrorCode::kInvalidUsage,
         "session '{}': want 1 to 64 of A-Z a-z 0-9 . _ -, no dot first, or a path",
         printable(name_or_file));
  }
  const std::string folder = make_user_folder(UserFolder::kState) + "/sessions";
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    fail(ErrorCode::kIo, "{}: cannot make the folder: {}", printable_path(folder),
         std::strerror(errno));
  }
  return folder + "/" + name_or_file + std::string(kEnding);
}

SessionInfo read_session(const std::string& path) {
  return with_context(printable_path(path), [&] {
    SessionInfo info{.name = name_of(path), .path = path};
    const JournalFile file(path, JournalFile::Access::kRead);
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0) info.modified = status.st_mtim.tv_sec;
    info.bytes = file.size();
    ReadJournal journal = read_journal(file);
    info.model = journal.header.model;
    info.chat = journal.contents.chat();
    return info;
  });
}

std::vector<SessionInfo> list_sessions() {
  const std::string folder = session_folder();
  std::vector<SessionInfo> sessions;
  DIR* entries = ::opendir(folder.c_str());
  if (entries == nullptr) return sessions;  // nothing was saved yet
  while (const dirent* entry = ::readdir(entries)) {
    const std::string path = folder + "/" + entry->d_name, name = name_of(path);
    if (!path.ends_with(kEnding) || !is_session_name(name)) continue;
    try {
      sessions.push_back(read_session(path));
    } catch (const Error& e) {
      sessions.push_back({.name = name, .path = path, .error = e.what()});
    }
  }
  ::closedir(entries);
  std::ranges::sort(sessions, [](const SessionInfo& a, const SessionInfo& b) {
    return a.modified != b.modified ? a.modified > b.modified : a.name < b.name;
  });
  return sessions;
}

std::string session_title(const ChatState& chat) {
  for (const Message& message : chat.messages) {
    if (message.role == "user") return message.content.substr(0, message.content.find('\n'));
  }
  return {};
}

void remove_session(const std::string& path) {
  with_context(printable_path(path), [&] {
    const JournalFile file(path, JournalFile::Access::kWrite);
    if (file.size() > 0) read_journal_header(file);  // no other file is removed
    if (::unlink(path.c_str()) != 0) {
      fail(ErrorCode::kIo, "cannot remove: {}", std::strerror(errno));
    }
  });
}

void write_session(const std::string& path, std::vector<Message> messages) {
  with_context(printable_path(path), [&] {
    JournalFile file(path, JournalFile::Access::kCreate);
    if (file.size() > 0) fail(ErrorCode::kIo, "is there already");
    write_text(file, header_of_text(), {.messages = std::move(messages)});
  });
}

std::vector<std::string> shrink_sessions(uint64_t most) {
  if (user_folder(UserFolder::kState).empty()) return {};  // sessions are files elsewhere
  std::vector<SessionInfo> sessions = list_sessions();
  uint64_t bytes = 0;
  for (const SessionInfo& session : sessions) bytes += session.bytes;
  std::vector<std::string> names;
  for (; bytes > most && !sessions.empty(); sessions.pop_back()) {
    const SessionInfo& oldest = sessions.back();
    if (!drop_tiles(oldest)) continue;
    bytes -= oldest.bytes - JournalFile(oldest.path, JournalFile::Access::kRead).size();
    names.push_back(oldest.name);
  }
  return names;
}

}  // namespace st
