#include "base/temporary_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <random>
#include <string_view>

namespace st {
namespace {

constexpr size_t kDigits = 8;
constexpr std::string_view kSuffix = ".tmp";

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string_view name_of(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // all of it without a slash: npos + 1 is 0
}

// ---- The temporary files of this process, in a form that a signal handler can read ----

// Nodes are used again, and never freed.
struct Registered {
  std::atomic<const char*> path{nullptr};
  Registered* next = nullptr;
};

std::atomic<Registered*> g_registered{nullptr};
std::atomic<bool> g_ending{false};
static_assert(std::atomic<const char*>::is_always_lock_free);

void register_path(const char* path) {
  for (Registered* node = g_registered; node != nullptr; node = node->next) {
    const char* unused = nullptr;
    if (node->path.compare_exchange_strong(unused, path)) return;
  }
  auto* node = new Registered;
  node->path = path;
  node->next = g_registered;
  while (!g_registered.compare_exchange_weak(node->next, node)) {
  }
}

void wait_if_ending() {
  while (g_ending) ::pause();
}

// When the process ends the path may be read until it has: then this does not return.
void forget(const std::string& temporary) {
  for (Registered* node = g_registered; node != nullptr; node = node->next) {
    const char* path = temporary.c_str();
    if (node->path.compare_exchange_strong(path, nullptr)) break;
  }
  wait_if_ending();
}

// ---- Those of others ----

// A temporary file is locked as long as its writer lives. So one whose lock can be had belongs to
// nobody, or to one who has not come to lock it yet and then looks whether it is still there.
void remove_if_abandoned(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return;
  struct stat info{};
  const bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  if (regular && ::flock(fd, LOCK_EX | LOCK_NB) == 0) ::unlink(path.c_str());
  ::close(fd);
}

bool is_temporary_of(std::string_view name, std::string_view entry) {
  if (entry.size() != name.size() + 1 + kDigits + kSuffix.size()) return false;
  if (!entry.starts_with(name) || entry[name.size()] != '.' || !entry.ends_with(kSuffix)) {
    return false;
  }
  return std::ranges::all_of(entry.substr(name.size() + 1, kDigits), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

void remove_abandoned(const std::string& path) {
  const std::string folder = directory_of(path);
  DIR* entries = ::opendir(folder.c_str());
  if (entries == nullptr) return;  // creating the file says why
  while (const dirent* entry = ::readdir(entries)) {
    if (is_temporary_of(name_of(path), entry->d_name)) {
      remove_if_abandoned(folder + "/" + entry->d_name);
    }
  }
  ::closedir(entries);
}

// False if somebody took the file for abandoned in the moment before. Where there are no locks
// nobody removes anything.
bool lock(int fd) {
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) return errno != EWOULDBLOCK;
  struct stat info{};
  return ::fstat(fd, &info) == 0 && info.st_nlink > 0;
}

}  // namespace

int create_temporary(const std::string& path, std::string& temporary) {
  remove_abandoned(path);
  std::random_device random;
  for (;;) {
    temporary = fmt::format("{}.{:08x}{}", path, random(), kSuffix);
    register_path(temporary.c_str());
    wait_if_ending();
    const int fd =
        ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd >= 0 && lock(fd)) return fd;
    const int error = errno;
    forget(temporary);
    if (fd >= 0) {
      ::close(fd);
    } else if (error != EEXIST) {
      errno = error;
      return -1;
    }
  }
}

bool rename_temporary(const std::string& temporary, const std::string& path) {
  const bool renamed = ::rename(temporary.c_str(), path.c_str()) == 0;
  wait_if_ending();  // which may be why the file is gone
  if (renamed) forget(temporary);
  return renamed;
}

void remove_temporary(const std::string& temporary) {
  ::unlink(temporary.c_str());
  forget(temporary);
}

void remove_temporaries() noexcept {
  constexpr int kTries = 20;  // a millisecond each
  g_ending = true;
  for (const Registered* node = g_registered; node != nullptr; node = node->next) {
    const char* path = node->path;
    if (path == nullptr) continue;
    // Where there is none, another thread may be about to make it.
    for (int i = 0; ::unlink(path) != 0 && errno == ENOENT && i < kTries; ++i)
      ::poll(nullptr, 0, 1);
  }
}

}  // namespace st
