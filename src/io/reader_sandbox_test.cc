// AsyncReader where the system refuses what it would like to have.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <thread>

#include "base/memory.h"
#include "io/async_reader.h"
#include "support/bytes.h"
#include "support/faulty_reader.h"
#include "support/sandbox.h"

namespace st {
namespace {

using namespace testkit;
using Backend = AsyncReader::Backend;

constexpr size_t kBytes = 200'000;

std::string known_text() {
  std::string text;
  while (text.size() < kBytes) text += std::to_string(text.size() * 7) + " ";
  text.resize(kBytes);
  return text;
}

class ReaderSandbox : public testing::Test {
 protected:
  ReaderSandbox() {
    ::close(::mkstemp(path_.data()));
    AtomicFile file(path_);
    const std::string text = known_text();
    file.write(std::as_bytes(std::span(text)));
    file.commit();
  }
  ~ReaderSandbox() override { std::filesystem::remove(path_); }

  AsyncReader::Options options(Backend backend = Backend::kAuto) {
    return {.backend = backend,
            .log = [this](std::string_view line) { log_ += std::string(line) + "\n"; }};
  }

  void expect_reads(AsyncReader& reader, FileId file) {
    const MemoryRegion memory(1 << 18);
    const ReadResult result = reader.await(reader.submit({file, 3, kBytes - 3, memory.data()}));
    ASSERT_TRUE(result.ok()) << result.error->what();
    const std::string_view text(reinterpret_cast<char*>(result.bytes.data()), result.bytes.size());
    EXPECT_TRUE(text == std::string_view(known_text()).substr(3));
  }

  std::string path_ = "/tmp/st-sandbox-XXXXXX";
  std::string log_;
};

TEST_F(ReaderSandbox, IoUringForbidden) {
  if (!has_uring()) GTEST_SKIP() << "it is anyway";
  for (const int error : {EPERM, ENOSYS, ENOMEM}) {
    const std::string words = std::strerror(error);
    log_.clear();
    in_own_thread([&] {
      forbid(SYS_io_uring_setup, static_cast<unsigned>(error));
      AsyncReader reader(options());
      EXPECT_EQ(reader.backend(), "pread");
      expect_reads(reader, reader.open(path_));
      EXPECT_EQ(log_, fmt::format("no io_uring ({}): reading with threads\n", words));
      EXPECT_EQ(error_of([&] { AsyncReader forced(options(Backend::kUring)); }),
                fmt::format("no io_uring: {}", words));
    });
  }
}

TEST_F(ReaderSandbox, IoUringMayBeMadeButNotUsed) {
  if (!has_uring()) GTEST_SKIP() << "it cannot even be made";
  in_own_thread([&] {
    forbid(SYS_io_uring_enter, EPERM);
    AsyncReader reader(options());
    EXPECT_EQ(reader.backend(), "pread");
    expect_reads(reader, reader.open(path_));
    EXPECT_EQ(log_, "no io_uring (Operation not permitted): reading with threads\n");
  });
}

TEST_F(ReaderSandbox, NothingIsNotedWhenNothingIsAmiss) {
  AsyncReader reader(options());
  const FileId file = reader.open(path_);
  expect_reads(reader, file);
  EXPECT_EQ(log_.empty(), reader.backend() == "io_uring" && reader.direct(file));
}

TEST_F(ReaderSandbox, DirectReadsRefused) {
  if (!can_forbid()) GTEST_SKIP() << "needs seccomp";
  const std::string note = path_ + ": reading through the page cache: O_DIRECT: Invalid argument\n";
  for (const Backend backend : {Backend::kAuto, Backend::kPread}) {
    log_.clear();
    in_own_thread([&] {
      forbid(SYS_openat, EINVAL, O_DIRECT);
      AsyncReader reader(options(backend));
      const FileId file = reader.open(path_);
      EXPECT_FALSE(reader.direct(file));
      expect_reads(reader, file);
      expect_reads(reader, reader.open(path_));
      EXPECT_TRUE(log_.ends_with("\n" + note) || log_ == note) << log_;
      EXPECT_EQ(log_.find(note), log_.rfind(note)) << "noted once";
    });
  }
}

TEST_F(ReaderSandbox, NoThreadsToBeHad) {
  if (!can_forbid()) GTEST_SKIP() << "needs seccomp";
  in_own_thread([&] {
    forbid(SYS_clone, EAGAIN);
    forbid(SYS_clone3, EAGAIN);
    EXPECT_EQ(
        error_of([&] { AsyncReader reader(options(Backend::kPread)); }),
        "cannot start the thread that reads the file: Resource temporarily unavailable; ask for "
        "fewer threads with -t, or raise their limit (ulimit -u, pids.max, TasksMax)");
  });
}

// Memory whose pages nobody provides: what reads into it is stuck, like a read from a device that
// has gone. Nothing is simulated above the kernel.
class StuckMemory {
 public:
  explicit StuckMemory(size_t bytes) : memory_(bytes) {
    fd_ = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC));
    uffdio_api api{.api = UFFD_API};
    if (fd_ < 0 || ::ioctl(fd_, UFFDIO_API, &api) != 0) return;
    uffdio_register range{.range = {reinterpret_cast<uintptr_t>(memory_.data()), bytes},
                          .mode = UFFDIO_REGISTER_MODE_MISSING};
    usable_ = ::ioctl(fd_, UFFDIO_REGISTER, &range) == 0;
  }
  ~StuckMemory() { release(); }

  bool usable() const { return usable_; }
  std::byte* data() const { return memory_.data(); }
  // Whoever is stuck goes on, with empty pages.
  void release() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  MemoryRegion memory_;
  int fd_ = -1;
  bool usable_ = false;
};

TEST_F(ReaderSandbox, StuckInTheKernel) {
  for (const Backend backend : {Backend::kPread, Backend::kAuto}) {
    StuckMemory stuck(2 << 18);
    if (!stuck.usable()) GTEST_SKIP() << "needs userfaultfd";
    AsyncReader::Options cached = options(backend);
    cached.direct = false;
    AsyncReader reader(cached);
    const FileId file = reader.open(path_);
    const Ticket late =
        reader.submit({file, 0, kBytes, stuck.data(), std::chrono::milliseconds(100)});
    ReadResult result = reader.await(late);
    EXPECT_EQ(result.error->what(),
              path_ + ": bytes 0..200000: no answer from the device for 100 ms");
    EXPECT_TRUE(result.buffer_busy);

    const Ticket cancelled = reader.submit({file, 0, kBytes, stuck.data() + (1 << 18)});
    const auto start = std::chrono::steady_clock::now();
    std::thread waiting([&] { result = reader.await(cancelled); });
    reader.cancel_all();
    waiting.join();
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
    EXPECT_EQ(result.error->code(), ErrorCode::kCancelled);
    expect_reads(reader, file);  // the others go on
    EXPECT_FALSE(reader.drained(late));
    stuck.release();
    while (!reader.drained(late) || !reader.drained(cancelled)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

}  // namespace
}  // namespace st
