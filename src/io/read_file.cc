#include "io/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/memory.h"

namespace st {
namespace {

constexpr uint32_t kUsualBlock = 4096;
[[maybe_unused]] constexpr uint32_t kLargestBlock = 65536;

// What the file system wants of direct reads: 0 if it does none, a guess if it does not say.
uint32_t direct_alignment(int fd) {
// Android has statx() from API 30 on, and a filter that kills apps for the system call before that.
#if defined(STATX_DIOALIGN) && (!defined(__ANDROID_API__) || __ANDROID_API__ >= 30)
  struct statx info{};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) == 0 &&
      (info.stx_mask & STATX_DIOALIGN) != 0) {
    const uint32_t wanted = std::max(info.stx_dio_mem_align, info.stx_dio_offset_align);
    const bool usable = info.stx_dio_offset_align != 0 && (wanted & (wanted - 1)) == 0;
    return usable && wanted <= kLargestBlock ? std::max<uint32_t>(wanted, 512) : 0;
  }
#else
  static_cast<void>(fd);
#endif
  return kUsualBlock;
}

// As much of [offset, offset + bytes) as the file has; -1 with errno on failure.
ssize_t read_at(int fd, std::byte* out, size_t bytes, uint64_t offset) {
  ssize_t n = 0;
  do {
    n = ::pread(fd, out, bytes, static_cast<off_t>(offset));
  } while (n < 0 && errno == EINTR);
  return n;
}

}  // namespace

ReadFile::ReadFile(const std::string& path, bool want_direct, bool keep)
    : file_(with_context(printable_path(path), [&] { return File(path); })), keep_(keep) {
  // What read-ahead would fetch beyond our ranges nobody throws out again.
  ::posix_fadvise(file_.fd(), 0, 0, POSIX_FADV_RANDOM);
  if (want_direct) {
    try_direct();
  } else {
    reason_ = "not asked for";
  }
}

ReadFile::~ReadFile() {
  if (direct_fd_ >= 0) ::close(direct_fd_);
}

void ReadFile::try_direct() {
  const uint32_t alignment = direct_alignment(file_.fd());
  if (alignment == 0) {
    reason_ = "the file system has no O_DIRECT";
    return;
  }
  const int fd = ::open(path().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_DIRECT);
  struct stat info{};
  if (fd < 0) {
    reason_ = std::string("O_DIRECT: ") + std::strerror(errno);
  } else if (::fstat(fd, &info) != 0 || !file_.same_file(info)) {
    reason_ = "the file was replaced just now";
  } else if (!same_blocks(fd, file_.fd(), size(), alignment)) {
    reason_ = "O_DIRECT gives other bytes or none";
  } else {
    direct_fd_ = fd;
    alignment_ = alignment;
    return;
  }
  if (fd >= 0) ::close(fd);
}

void ReadFile::forget(uint64_t offset, uint64_t bytes) const {
  if (keep_) return;
  ::posix_fadvise(file_.fd(), static_cast<off_t>(offset), static_cast<off_t>(bytes),
                  POSIX_FADV_DONTNEED);
}

bool same_blocks(int direct_fd, int cached_fd, uint64_t size, uint32_t alignment) {
  if (size == 0) return true;
  const uint64_t block = std::max(alignment, kUsualBlock);
  const MemoryRegion memory(2 * block + alignment);
  // MemoryRegion is page-aligned; some devices want more.
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  std::byte* direct = memory.data() + (alignment - address % alignment) % alignment;
  std::byte* cached = direct + block;
  const uint64_t blocks = (size + block - 1) / block;
  for (const uint64_t i : {uint64_t{0}, blocks / 2, blocks - 1}) {
    const size_t expected = std::min(block, size - i * block);
    const ssize_t n = read_at(direct_fd, direct, block, i * block);
    const ssize_t m = read_at(cached_fd, cached, expected, i * block);
    ::posix_fadvise(cached_fd, static_cast<off_t>(i * block), static_cast<off_t>(block),
                    POSIX_FADV_DONTNEED);
    if (n < static_cast<ssize_t>(expected) || m != static_cast<ssize_t>(expected)) return false;
    if (std::memcmp(direct, cached, expected) != 0) return false;
  }
  return true;
}

}  // namespace st
