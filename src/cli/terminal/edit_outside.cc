#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "cli/terminal/line_editor.h"

namespace st {
namespace {

constexpr uint64_t kMost = uint64_t{64} << 20;

// A file that only the user may read, gone afterwards.
class PrivateFile {
 public:
  explicit PrivateFile(std::string_view text) {
    std::error_code error;
    path_ = (std::filesystem::temp_directory_path(error) / "message-XXXXXX.txt").string();
    fd_ = ::mkstemps(path_.data(), 4);
    while (fd_ >= 0 && !text.empty()) {
      const ssize_t n = ::write(fd_, text.data(), text.size());
      if (n <= 0) return;
      text.remove_prefix(static_cast<size_t>(n));
    }
    whole_ = fd_ >= 0;
  }
  ~PrivateFile() {
    if (fd_ < 0) return;
    ::unlink(path_.c_str());
    ::close(fd_);
  }
  PrivateFile(const PrivateFile&) = delete;
  PrivateFile& operator=(const PrivateFile&) = delete;

  bool whole() const { return whole_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int fd_ = -1;
  bool whole_ = false;
};

const char* editor() {
  for (const char* name : {"VISUAL", "EDITOR"}) {
    if (const char* value = std::getenv(name); value && *value != 0) return value;
  }
  return "vi";
}

bool run_editor(const std::string& path) {
  // The variables hold a command of the shell's, such as "code --wait".
  std::string command = std::string(editor()) + " \"$1\"", file = path;
  char shell[] = "sh", option[] = "-c";
  char* const arguments[] = {shell, option, command.data(), shell, file.data(), nullptr};
  posix_spawnattr_t attributes;
  if (::posix_spawnattr_init(&attributes) != 0) return false;
  sigset_t usual;  // signals that we have ignored
  sigemptyset(&usual);
  sigaddset(&usual, SIGPIPE);
  sigaddset(&usual, SIGXFSZ);
  ::posix_spawnattr_setsigdefault(&attributes, &usual);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, "sh", nullptr, &attributes, arguments, environ);
  ::posix_spawnattr_destroy(&attributes);
  int status = 0;
  if (error != 0) return false;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return false;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

bool edit_outside(std::string& text) {
  const PrivateFile file(text);
  if (!file.whole() || !run_editor(file.path())) return false;
  try {
    text = read_text_file(file.path(), kMost);
  } catch (const Error&) {
    return false;
  }
  if (text.ends_with('\n')) text.pop_back();
  return true;
}

}  // namespace st
