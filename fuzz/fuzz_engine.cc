// Bytes as a model in a GGUF file: it evaluates two tokens, or an Error says why not.
#include <sys/mman.h>
#include <unistd.h>

#include "engine.h"

using namespace st;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int fd = ::memfd_create("model", 0);
  fuzz::require(fd >= 0 && ::write(fd, data, size) == static_cast<ssize_t>(size));
  fuzz::allow_errors([&] { fuzz::evaluate("/proc/self/fd/" + std::to_string(fd), size, 2); });
  ::close(fd);
  return 0;
}
