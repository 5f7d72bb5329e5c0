// Loaded into the command by cli_check (LD_PRELOAD): a disk that answers until the file named by
// ST_DEAD_DISK exists, and never again, or not to reads of at most ST_DEAD_BYTES bytes. There is no
// io_uring, so that all reads come here.
#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace {

using Pread = ssize_t (*)(int, void*, size_t, off_t);

ssize_t read_or_wait(const char* name, int fd, void* data, size_t bytes, off_t offset) {
  const char* dead = std::getenv("ST_DEAD_DISK");
  const char* most = std::getenv("ST_DEAD_BYTES");
  const bool concerned = most == nullptr || bytes <= std::strtoull(most, nullptr, 10);
  while (concerned && dead != nullptr && ::access(dead, F_OK) == 0) ::pause();
  return reinterpret_cast<Pread>(::dlsym(RTLD_NEXT, name))(fd, data, bytes, offset);
}

}  // namespace

extern "C" {

ssize_t pread(int fd, void* data, size_t bytes, off_t offset) {
  return read_or_wait("pread", fd, data, bytes, offset);
}
ssize_t pread64(int fd, void* data, size_t bytes, off_t offset) {
  return read_or_wait("pread64", fd, data, bytes, offset);
}
int io_uring_queue_init(unsigned, void*, unsigned) { return -EPERM; }

}  // extern "C"
