#include "chat/journal_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/temporary_files.h"

namespace st {
namespace {

constexpr size_t kBuffer = size_t{1} << 20;
constexpr mode_t kOnlyTheUser = 0600;

void sync_folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

JournalFile::JournalFile(std::string path, Access access)
    : path_(std::move(path)), access_(access) {
  // Who had it may have given its name to another file in the moment before it was locked.
  while (!open(access)) {
  }
}

bool JournalFile::open(Access access) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer; regular files ignore it.
  const int flags = (access == Access::kRead ? O_RDONLY : O_RDWR) |
                    (access == Access::kCreate ? O_CREAT : 0) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  fd_ = ::open(path_.c_str(), flags, kOnlyTheUser);
  if (fd_ < 0 && errno == ELOOP) fail(ErrorCode::kInvalidData, "is a symbolic link");
  if (fd_ < 0) fail(ErrorCode::kNotFound, "cannot open: {}", std::strerror(errno));
  const bool locked = access == Access::kRead || ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
  const int error = errno;
  struct stat info{};
  const bool regular = ::fstat(fd_, &info) == 0 && S_ISREG(info.st_mode);
  if (regular && locked && in_place()) {
    size_ = static_cast<uint64_t>(info.st_size);
    return true;
  }
  ::close(std::exchange(fd_, -1));
  if (!regular) fail(ErrorCode::kInvalidData, "not a regular file");
  if (!locked && error == EWOULDBLOCK) {
    fail(ErrorCode::kIo, "in use by another process");
  }
  if (!locked) fail(ErrorCode::kIo, "cannot lock: {}", std::strerror(error));
  return false;
}

JournalFile::~JournalFile() {
  if (fd_ < 0) return;
  if (access_ == Access::kCreate && size_ == 0 && in_place()) ::unlink(path_.c_str());
  ::close(fd_);
}

bool JournalFile::in_place() const {
  struct stat mine{}, named{};
  return ::fstat(fd_, &mine) == 0 && ::lstat(path_.c_str(), &named) == 0 &&
         mine.st_dev == named.st_dev && mine.st_ino == named.st_ino;
}

void JournalFile::fail_io(const char* what) const {
  fail(ErrorCode::kIo, "{}: {}", what, std::strerror(errno));
}

void JournalFile::read_at(uint64_t offset, std::span<std::byte> out) const {
  if (offset > size_ || out.size() > size_ - offset) {
    fail(ErrorCode::kInvalidData, "truncated: need bytes {}..{}, file has {}", offset,
         offset + out.size(), size_);
  }
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ErrorCode::kIo, "read error at {}: {}", offset, std::strerror(errno));
    if (n == 0) fail(ErrorCode::kIo, "file was truncated while in use, at byte {}", offset);
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

// ---- Writing ----

void JournalFile::append(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() > kBuffer) flush();
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  size_ += bytes.size();
}

void JournalFile::flush() {
  uint64_t offset = size_ - buffer_.size();
  std::span<const std::byte> bytes = buffer_;
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_io("cannot write");
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  buffer_.clear();
}

void JournalFile::sync() {
  flush();
  if (::fdatasync(fd_) != 0) fail_io("cannot sync");
}

void JournalFile::truncate(uint64_t size) {
  buffer_.clear();
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) fail_io("cannot shorten");
  size_ = size;
}

void JournalFile::replace(const std::function<void(JournalFile&)>& write) {
  std::string temporary;
  const int fd = create_temporary(path_, temporary);  // which is locked
  if (fd < 0) fail_io("cannot create");
  const int old = std::exchange(fd_, fd);
  const uint64_t old_size = std::exchange(size_, 0);
  try {
    if (::fchmod(fd_, kOnlyTheUser) != 0) fail_io("cannot create");
    write(*this);
    sync();
    if (!rename_temporary(temporary, path_)) fail_io("cannot rename");
  } catch (...) {
    remove_temporary(temporary);
    ::close(std::exchange(fd_, old));
    size_ = old_size;
    buffer_.clear();
    throw;
  }
  ::close(old);
  sync_folder_of(path_);  // the name must survive a power cut, too
}

}  // namespace st
