// What moves bytes for an AsyncReader: pieces of files into memory, many at once.
//
// wait() is called by one thread at a time, the rest by one thread at a time, but wait() may
// overlap with the rest. Only wait() blocks.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace st {

using SteadyTime = Clock::time_point;

// One read. Everything is aligned as the file descriptor wants it.
struct ReadPiece {
  int fd = -1;
  uint64_t offset = 0;
  std::byte* data = nullptr;
  uint32_t bytes = 0;
  uint32_t tag = 0;     // the caller's; no two pieces in flight have the same
  bool cached = false;  // goes through the page cache: starting it may mean copying it
};

struct PieceResult {
  uint32_t tag = 0;
  int32_t result = 0;  // bytes read, possibly fewer than asked for, or -errno
};

class ReadBackend {
 public:
  // Waits for the pieces in flight: their memory is being written to.
  virtual ~ReadBackend() = default;

  virtual std::string_view name() const = 0;

  // At most `depth` pieces (see the makers below) are in flight at any time, and each will be
  // reported by wait() exactly once. The first started is the first served, as far as we can say.
  virtual void start(std::span<const ReadPiece> pieces) = 0;

  // Sleeps until a piece is done, wake() is called or `until` has passed; appends what is done.
  virtual void wait(SteadyTime until, std::vector<PieceResult>& done) = 0;

  // Makes the current or the next wait() return.
  virtual void wake() = 0;

  // No more pieces will come: gives up those in flight as far as possible. They are still reported.
  virtual void shutdown() = 0;

  // Hints: many reads will be from this file, into this memory. Both outlive the backend's reads.
  virtual void register_file(int) {}
  virtual void register_memory(std::span<std::byte>) {}
};

// Threads that call pread(): works everywhere, and is what other backends are compared with.
// Throws Error(kIo) if not even one thread can be started.
std::unique_ptr<ReadBackend> make_pread_backend(int depth, int threads = 8);

// Linux's io_uring. Null, with the reason, where the kernel, a sandbox or the build lacks it.
std::unique_ptr<ReadBackend> make_uring_backend(int depth, std::string& reason);

}  // namespace st
