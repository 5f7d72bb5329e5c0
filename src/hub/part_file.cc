#include "hub/part_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"

namespace st {
namespace {

constexpr size_t kDigits = 16;  // of the digest, in the name
constexpr size_t kPiece = size_t{1} << 20;

// Calls take() with the bytes of an open file, which has `size` of them.
template <typename Take>
void read_pieces(int fd, uint64_t size, const std::string& path, const Stop& stop, Take take) {
  std::vector<std::byte> piece(kPiece);
  for (uint64_t at = 0; at < size;) {
    stop.check();
    const auto wanted = static_cast<size_t>(std::min<uint64_t>(kPiece, size - at));
    const ssize_t n = ::pread(fd, piece.data(), wanted, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail(ErrorCode::kIo, "{}: cannot read at {}", printable_path(path), at);
    at += static_cast<uint64_t>(n);
    take(std::span(piece).first(static_cast<size_t>(n)), at);
  }
}

// False once the lock is had; whoever waits looks ten times a second.
bool is_locked_by_another(int fd) {
  return ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

bool same_file(const std::optional<struct stat>& named, int fd) {
  struct stat opened{};
  return named && ::fstat(fd, &opened) == 0 && named->st_ino == opened.st_ino &&
         named->st_dev == opened.st_dev;
}

}  // namespace

std::string part_name(const std::string& name, const HubFile& file) {
  return name + "." + file.digest.substr(0, kDigits) + std::string(kPartSuffix);
}

std::optional<PartFile> PartFile::open(const Folder& folder, const std::string& name,
                                       const HubFile& file, const Waits& waits) {
  const std::string part = part_name(name, file);
  for (bool waited = false;; waited = true) {
    const int fd = folder.open_file(part, O_RDWR | O_CREAT);
    if (fd < 0) {
      fail(ErrorCode::kIo, "{}: cannot create: {}", printable_path(folder.path_of(part)),
           std::strerror(errno));
    }
    PartFile opened(folder, part, name, file, fd);
    if (is_locked_by_another(fd)) {
      if (!waited && waits.told) waits.told();
      while (is_locked_by_another(fd)) {
        waits.stop->check();
        std::this_thread::sleep_for(Stop::kLook);
      }
    }
    // What was locked may have got its final name, or none, before it was.
    if (same_file(folder.status(part), fd)) {
      opened.read_what_is_there(waits);
      return opened;
    }
    const auto finished = folder.status(name);
    if (finished && static_cast<uint64_t>(finished->st_size) == file.size) return std::nullopt;
  }
}

PartFile::PartFile(const Folder& folder, std::string part, std::string name, const HubFile& file,
                   int fd)
    : folder_(&folder),
      part_(std::move(part)),
      name_(std::move(name)),
      whole_(file.size),
      fd_(fd),
      digest_(std::make_unique<Digest>(file.digest, file.size)) {}

PartFile::~PartFile() {
  if (fd_ >= 0) ::close(fd_);
}

PartFile::PartFile(PartFile&& other) noexcept
    : folder_(other.folder_),
      part_(std::move(other.part_)),
      name_(std::move(other.name_)),
      whole_(other.whole_),
      size_(other.size_),
      fd_(std::exchange(other.fd_, -1)),
      digest_(std::move(other.digest_)) {}

void PartFile::fail_io(const char* what) const {
  fail(ErrorCode::kIo, "{}: {}: {}", printable_path(folder_->path_of(part_)), what,
       std::strerror(errno));
}

void PartFile::read_what_is_there(const Waits& waits) {
  struct stat info{};
  if (::fstat(fd_, &info) != 0) fail_io("cannot read");
  if (!S_ISREG(info.st_mode)) {
    fail(ErrorCode::kIo, "{}: not a regular file", printable_path(folder_->path_of(part_)));
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > whole_) return restart();
  read_pieces(fd_, size, folder_->path_of(part_), *waits.stop,
              [&](std::span<const std::byte> bytes, uint64_t done) {
                digest_->add(bytes);
                if (waits.progress) waits.progress("checking", done, size);
              });
  size_ = size;
}

void PartFile::append(std::span<const std::byte> bytes) {
  if (bytes.size() > whole_ - size_) {
    fail(ErrorCode::kInvalidData, "more than the {} bytes that were announced", whole_);
  }
  digest_->add(bytes);
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_io("cannot write");
    bytes = bytes.subspan(static_cast<size_t>(n));
    size_ += static_cast<uint64_t>(n);
  }
}

void PartFile::restart() {
  if (::ftruncate(fd_, 0) != 0) fail_io("cannot write");
  size_ = 0;
  digest_->restart();
}

bool PartFile::is_right() { return digest_->matches(); }

void PartFile::finish() {
  if (::fsync(fd_) != 0) fail_io("cannot sync");
  folder_->rename(part_, name_);
}

bool has_bytes(const Folder& folder, const std::string& name, const HubFile& file, const Stop& stop,
               const Progress& progress) {
  const auto status = folder.status(name);
  if (!status || !S_ISREG(status->st_mode)) return false;
  if (static_cast<uint64_t>(status->st_size) != file.size) return false;
  const int fd = folder.open_file(name, O_RDONLY);
  if (fd < 0) return false;
  Digest digest(file.digest, file.size);
  try {
    read_pieces(fd, file.size, folder.path_of(name), stop,
                [&](std::span<const std::byte> bytes, uint64_t done) {
                  digest.add(bytes);
                  if (progress) progress("checking", done, file.size);
                });
  } catch (...) {
    ::close(fd);
    throw;
  }
  ::close(fd);
  return digest.matches();
}

}  // namespace st
