#include "hub/folder.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace st {
namespace {

constexpr mode_t kPrivate = 0700;

[[noreturn]] void fail_io(const std::string& path, const char* what) {
  fail(ErrorCode::kIo, "{}: {}: {}", printable_path(path), what, std::strerror(errno));
}

}  // namespace

Folder Folder::make(const std::string& path) {
  ::mkdir(path.c_str(), kPrivate);  // opening it tells of a failure
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail_io(path, "cannot open the folder");
  return {fd, path};
}

Folder::~Folder() {
  if (fd_ >= 0) ::close(fd_);
}

Folder::Folder(Folder&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

Folder Folder::make_child(const std::string& name) const {
  if (::mkdirat(fd_, name.c_str(), kPrivate) != 0 && errno != EEXIST) {
    fail_io(path_of(name), "cannot make the folder");
  }
  const int fd = open_file(name, O_RDONLY | O_DIRECTORY);
  if (fd >= 0) return {fd, path_of(name)};
  const auto found = status(name);
  if (found && S_ISLNK(found->st_mode)) {
    fail(ErrorCode::kIo, "{}: is a link: not followed", printable_path(path_of(name)));
  }
  fail_io(path_of(name), "cannot open the folder");
}

std::optional<struct stat> Folder::status(const std::string& name) const {
  struct stat info{};
  if (::fstatat(fd_, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return info;
}

int Folder::open_file(const std::string& name, int flags) const {
  return ::openat(fd_, name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
}

void Folder::remove(const std::string& name) const { ::unlinkat(fd_, name.c_str(), 0); }

void Folder::rename(const std::string& from, const std::string& to) const {
  if (::renameat(fd_, from.c_str(), fd_, to.c_str()) != 0) fail_io(path_of(to), "cannot rename");
  ::fsync(fd_);
}

uint64_t Folder::free_bytes() const {
  struct statvfs disk{};
  if (::fstatvfs(fd_, &disk) != 0) return UINT64_MAX;  // writing will tell
  return uint64_t{disk.f_bavail} * disk.f_frsize;
}

}  // namespace st
