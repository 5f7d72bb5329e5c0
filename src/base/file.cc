#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <optional>
#include <tuple>

#include "base/error.h"
#include "base/temporary_files.h"

namespace st {
namespace {

constexpr size_t kWriteBuffer = size_t{1} << 20;

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

void check_range(uint64_t offset, size_t count, uint64_t size) {
  if (offset > size || count > size - offset) {
    fail(ErrorCode::kInvalidData, "truncated: need bytes {}..{}, file has {}", offset,
         offset + count, size);
  }
}

bool same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

// Whether a change that comes now could leave the file with the time it has: the clock that many
// kernels stamp files with moves every few milliseconds.
bool stamped_just_now(const struct stat& info) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return info.st_ctim.tv_sec == now.tv_sec && info.st_ctim.tv_nsec >= now.tv_nsec;
}

// pwrite until everything is written; false with errno set on failure.
bool write_fully(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return true;
}

}  // namespace

void MemorySource::read_at(uint64_t offset, std::span<std::byte> out) const {
  check_range(offset, out.size(), size());
  std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
}

File::File(std::string path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer; regular files ignore it.
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) fail(ErrorCode::kNotFound, "cannot open: {}", std::strerror(errno));
  note_state();
  if (!S_ISREG(opened_.st_mode)) {
    ::close(fd_);
    fail(ErrorCode::kInvalidData, "not a regular file");
  }
  size_ = static_cast<uint64_t>(opened_.st_size);
}

// With times that any later change will move. Who writes without pause is noticed later on.
void File::note_state() {
  constexpr timespec kTick{0, 2'000'000};
  for (int attempt = 0; attempt < 10; ++attempt) {
    if (::fstat(fd_, &opened_) != 0 || !stamped_just_now(opened_)) return;
    ::nanosleep(&kTick, nullptr);
  }
}

File::~File() { ::close(fd_); }

void File::read_at(uint64_t offset, std::span<std::byte> out) const {
  check_range(offset, out.size(), size_);
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      fail(ErrorCode::kIo, "read error at {}: {}", offset, std::strerror(errno));
    }
    if (n == 0) fail(ErrorCode::kIo, "file was truncated while in use, at byte {}", offset);
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

void File::will_read(uint64_t offset, uint64_t bytes) const {
  ::posix_fadvise(fd_, 0, 0, POSIX_FADV_RANDOM);  // no reading ahead beyond
  ::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
}

bool File::same_file(const struct stat& other) const {
  return other.st_dev == opened_.st_dev && other.st_ino == opened_.st_ino;
}

FileChange File::change() const {
  struct stat now{}, named{};
  if (::fstat(fd_, &now) != 0 || now.st_size != opened_.st_size ||
      !same_time(now.st_mtim, opened_.st_mtim)) {
    return FileChange::kModified;
  }
  // Losing its name changes the time of the inode, and not a byte.
  if (::stat(path_.c_str(), &named) != 0 || !same_file(named)) return FileChange::kReplaced;
  return same_time(now.st_ctim, opened_.st_ctim) ? FileChange::kNone : FileChange::kModified;
}

void File::check_unchanged() const {
  if (change() != FileChange::kModified) return;
  fail(ErrorCode::kIo, "{}: the file was changed while in use", printable_path(path_));
}

void File::check_in_place() const {
  check_unchanged();
  if (change() == FileChange::kNone) return;
  fail(ErrorCode::kIo, "{}: the file was replaced while it was loaded", printable_path(path_));
}

void File::expect_scattered_reads() const {
  ::posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);  // hints: refusal is fine
  ::posix_fadvise(fd_, 0, 0, POSIX_FADV_RANDOM);
}

std::string read_text_file(const std::string& path, uint64_t max_bytes) {
  std::optional<File> file;
  std::string text;
  with_context(printable_path(path), [&] {
    file.emplace(path);
    if (file->size() > max_bytes) {
      fail(ErrorCode::kInvalidData, "{} bytes exceed the limit of {}", file->size(), max_bytes);
    }
    text.resize(file->size());
    file->read_at(0, std::as_writable_bytes(std::span(text)));
  });
  file->check_unchanged();
  return text;
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  struct stat info{};
  if (::stat(path_.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    fail(ErrorCode::kIo, "{}: cannot create: exists and is not a regular file",
         printable_path(path_));
  }
  buffer_.reserve(kWriteBuffer);
  fd_ = create_temporary(path_, temporary_);
  if (fd_ < 0) fail_io("cannot create");
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  remove_temporary(temporary_);
  ::close(fd_);
}

void AtomicFile::fail_io(const char* what) const {
  fail(ErrorCode::kIo, "{}: {}: {}", printable_path(path_), what, std::strerror(errno));
}

void AtomicFile::flush() {
  if (!write_fully(fd_, buffer_, position_ - buffer_.size())) fail_io("cannot write");
  buffer_.clear();
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() > kWriteBuffer) flush();
  if (bytes.size() >= kWriteBuffer) {
    if (!write_fully(fd_, bytes, position_)) fail_io("cannot write");
  } else {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
  position_ += bytes.size();
}

void AtomicFile::write_zeros(uint64_t count) {
  constexpr std::byte kZeros[4096] = {};
  while (count > 0) {
    const size_t n = static_cast<size_t>(std::min<uint64_t>(count, sizeof(kZeros)));
    write(std::span(kZeros, n));
    count -= n;
  }
}

void AtomicFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  flush();
  if (!write_fully(fd_, bytes, offset)) fail_io("cannot write");
}

void AtomicFile::commit() {
  flush();
  if (::fsync(fd_) != 0) fail_io("cannot sync");
  // Closing may tell of an error that nothing else did; a second descriptor keeps the lock.
  const int second = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (second < 0 || ::close(std::exchange(fd_, second)) != 0) fail_io("cannot close");
  if (!rename_temporary(temporary_, path_)) fail_io("cannot rename");
  ::close(std::exchange(fd_, -1));
  // The rename itself must survive a power cut too.
  const int directory = ::open(directory_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    ::fsync(directory);
    ::close(directory);
  }
}

namespace {

// Device, number and, of a file that is not there yet, its name in the folder they are of.
using Identity = std::tuple<dev_t, ino_t, std::string>;

std::optional<Identity> identity(const std::string& path) {
  struct stat info{};
  if (path.empty()) return std::nullopt;
  if (::stat(path.c_str(), &info) == 0) {
    if (!S_ISREG(info.st_mode)) return std::nullopt;  // nothing to lose
    return Identity{info.st_dev, info.st_ino, ""};
  }
  const size_t slash = path.rfind('/');
  const std::string name = path.substr(slash + 1);  // all of it without a slash
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (::stat(folder.c_str(), &info) != 0) return std::nullopt;
  return Identity{info.st_dev, info.st_ino, name};
}

}  // namespace

void refuse_overwriting(std::span<const std::string> outputs, std::span<const std::string> inputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto output = identity(outputs[i]);
    if (!output) continue;
    for (const std::string& input : inputs) {
      if (identity(input) != output) continue;
      fail(ErrorCode::kInvalidUsage, "{}: is the same file as {}, which is read: write another one",
           printable_path(outputs[i]), printable_path(input));
    }
    for (const std::string& other : outputs.first(i)) {
      if (identity(other) != output) continue;
      fail(ErrorCode::kInvalidUsage, "{}: is the same file as {}, which is written too",
           printable_path(outputs[i]), printable_path(other));
    }
  }
}

}  // namespace st
