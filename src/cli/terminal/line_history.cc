#include "cli/terminal/line_history.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/user_folders.h"

namespace st {
namespace {

constexpr uint64_t kMostRead = uint64_t{4} << 20;  // of the end of a file, which may be any size
constexpr size_t kLongEntry = size_t{1} << 18;     // is not kept between runs
constexpr uint64_t kLongFile = uint64_t{2} << 20;  // is cut down to the entries that count

std::string escaped(std::string_view entry) {
  std::string line;
  for (const char c : entry) {
    if (c == '\n') {
      line += "\\n";
    } else if (c == '\\') {
      line += "\\\\";
    } else {
      line += c;
    }
  }
  return line + '\n';
}

std::string unescaped(std::string_view line) {
  std::string entry;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool pair = line[i] == '\\' && i + 1 < line.size();
    if (pair) ++i;
    entry += pair && line[i] == 'n' ? '\n' : line[i];
  }
  return entry;
}

}  // namespace

LineHistory::LineHistory(std::string path) : path_(std::move(path)) {
  if (path_.empty()) return;
  try {
    read();
  } catch (const Error&) {
  }
}

void LineHistory::read() {
  std::string text;
  {
    const File file(path_);
    const uint64_t begin = file.size() - std::min(file.size(), kMostRead);
    text.resize(file.size() - begin);
    file.read_at(begin, std::as_writable_bytes(std::span(text)));
    if (begin > 0) text.erase(0, std::min(text.find('\n'), text.size() - 1) + 1);
  }
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) entries_.push_back(unescaped(std::string_view(text).substr(at, end - at)));
    at = end + 1;
  }
  const bool many = entries_.size() > kMost;
  if (many) entries_.erase(entries_.begin(), entries_.end() - static_cast<ptrdiff_t>(kMost));
  if (text.size() > kLongFile) shorten();
}

void LineHistory::shorten() const {
  const mode_t mask = ::umask(0077);
  const std::shared_ptr<const void> back(nullptr, [mask](const void*) { ::umask(mask); });
  AtomicFile file(path_);
  for (const std::string& entry : entries_) {
    const std::string line = escaped(entry);
    file.write(std::as_bytes(std::span(line)));
  }
  file.commit();
}

void LineHistory::add(std::string_view entry) {
  if (entry.empty() || (!entries_.empty() && entries_.back() == entry)) return;
  entries_.emplace_back(entry);
  if (entries_.size() > kMost) entries_.erase(entries_.begin());
  if (path_.empty() || entry.size() > kLongEntry) return;
  // O_NONBLOCK: a FIFO must not wait for a reader.
  const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK;
  const int fd = ::open(path_.c_str(), flags, 0600);
  if (fd < 0) return;
  struct stat info{};
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
    const std::string line = escaped(entry);
    static_cast<void>(!::fchmod(fd, 0600));  // also of a file that somebody else made
    static_cast<void>(!::write(fd, line.data(), line.size()));
  }
  ::close(fd);
}

std::string history_path() {
  const char* refused = std::getenv("SMALLTHINKER_NOHISTORY");
  if (refused && *refused != 0) return {};
  try {
    return make_user_folder(UserFolder::kState) + "/history";
  } catch (const Error&) {
    return {};
  }
}

}  // namespace st
