#include "io/async_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "base/memory.h"
#include "io/probe_disk.h"
#include "support/bytes.h"
#include "support/faulty_reader.h"

namespace st {
namespace {

using namespace testkit;
using std::chrono::milliseconds;
using Backend = AsyncReader::Backend;

// A file whose bytes are known without reading it; removed at the end.
class KnownFile {
 public:
  explicit KnownFile(uint64_t bytes, const std::string& folder = "/tmp", uint64_t seed = 1)
      : path_(folder + "/st-reader-XXXXXX") {
    std::mt19937_64 random(seed);
    bytes_.resize(bytes);
    for (char& c : bytes_) c = static_cast<char>(random() >> 32);
    ::close(::mkstemp(path_.data()));
    write();
  }
  ~KnownFile() { std::filesystem::remove(path_); }

  void write() const {
    const int fd = ::open(path_.c_str(), O_WRONLY | O_TRUNC);
    EXPECT_EQ(::write(fd, bytes_.data(), bytes_.size()), static_cast<ssize_t>(bytes_.size()));
    EXPECT_EQ(::fsync(fd), 0);
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
  const std::string& path() const { return path_; }
  std::string_view bytes(uint64_t offset, uint64_t n) const {
    return std::string_view(bytes_).substr(offset, n);
  }
  uint64_t size() const { return bytes_.size(); }

 private:
  std::string path_, bytes_;
};

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Submitted, and then awaited.
ReadResult read(AsyncReader& reader, const ReadRequest& request) {
  return reader.await(reader.submit(request));
}

std::string message(const ReadResult& result) {
  return result.ok() ? "no error" : result.error->what();
}

double seconds_of(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// ---- The same bytes as the file's, for every way of reading ----

struct Way {
  Backend backend;
  bool direct;
  const char* folder;
};

class EveryWay : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    if (GetParam().backend == Backend::kUring && !has_uring()) GTEST_SKIP() << "no io_uring here";
  }
  AsyncReader::Options options() const {
    return {.backend = GetParam().backend, .direct = GetParam().direct};
  }
};

std::string name_of(const testing::TestParamInfo<Way>& info) {
  const Way& way = info.param;
  return std::string(way.backend == Backend::kUring ? "Uring" : "Pread") +
         (way.direct ? "Direct" : "Cached") + (way.folder == std::string("/tmp") ? "Disk" : "Shm");
}

INSTANTIATE_TEST_SUITE_P(
    AsyncReader, EveryWay,
    testing::Values(Way{Backend::kPread, true, "/tmp"}, Way{Backend::kPread, false, "/tmp"},
                    Way{Backend::kPread, true, "/dev/shm"}, Way{Backend::kPread, false, "/dev/shm"},
                    Way{Backend::kUring, true, "/tmp"}, Way{Backend::kUring, false, "/tmp"},
                    Way{Backend::kUring, true, "/dev/shm"},
                    Way{Backend::kUring, false, "/dev/shm"}),
    name_of);

TEST_P(EveryWay, RandomRanges) {
  const KnownFile known(3'000'001, GetParam().folder);
  AsyncReader::Options small = options();
  small.depth = 5;
  small.piece_bytes = 10'000;  // rounded up to blocks
  MemoryRegion memory;         // outlives the reader, as registered memory must
  AsyncReader reader(small);
  const FileId file = reader.open(known.path());
  EXPECT_EQ(reader.size(file), known.size());

  constexpr uint64_t kMost = 200'000;
  constexpr size_t kSlots = 8;
  const uint64_t room = reader.room(file, kMost);
  const uint64_t step = (room / 4096 + 2) * 4096;  // a page between the slots must stay as it is
  memory = MemoryRegion(kSlots * step);
  // Half of the slots, so that reads go to registered and to other memory.
  reader.register_memory({memory.data(), 4 * step + 5000});
  std::mt19937_64 random(3);
  const auto below = [&](uint64_t n) { return random() % n; };
  for (int round = 0; round < 40; ++round) {
    std::memset(memory.data(), 0x55, memory.size());
    ReadRequest requests[kSlots];
    Ticket tickets[kSlots];
    for (size_t i = 0; i < kSlots; ++i) {
      uint64_t bytes = below(4) == 0 ? below(100) : below(kMost + 1);
      uint64_t offset = below(known.size() - bytes + 1);
      if (below(4) == 0) offset = known.size() - bytes;  // the tail is special
      if (below(8) == 0) offset = offset / 4096 * 4096;
      requests[i] = {file, offset, bytes, memory.data() + i * step};
      tickets[i] = reader.submit(requests[i]);
    }
    for (size_t k = 0; k < kSlots; ++k) {
      const size_t i = (k * 3 + 5) % kSlots;  // any order
      const ReadResult result = reader.await(tickets[i]);
      ASSERT_TRUE(result.ok()) << message(result);
      ASSERT_TRUE(text_of(result.bytes) == known.bytes(requests[i].offset, requests[i].bytes));
      ASSERT_EQ(result.bytes.data(),
                requests[i].buffer + requests[i].offset % reader.alignment(file));
      for (uint64_t at = room; at < step; ++at) {
        ASSERT_EQ(requests[i].buffer[at], std::byte{0x55}) << "written behind the buffer";
      }
    }
  }
  EXPECT_LE(reader.stats().peak_in_flight, 5u);
  EXPECT_GE(reader.stats().bytes_read, reader.stats().bytes_wanted);
}

TEST_P(EveryWay, ManyThreads) {
  const KnownFile known(1 << 20, GetParam().folder);
  AsyncReader::Options small = options();
  small.depth = 6;
  small.piece_bytes = 4096;
  AsyncReader reader(small);
  const FileId file = reader.open(known.path());
  const auto work = [&](uint64_t seed) {
    std::mt19937_64 random(seed);
    const MemoryRegion memory(4 * 65536);
    for (int round = 0; round < 50; ++round) {
      ReadRequest requests[4];
      Ticket tickets[4];
      for (size_t i = 0; i < 4; ++i) {
        const uint64_t bytes = random() % 40'000;
        requests[i] = {file, random() % (known.size() - bytes), bytes, memory.data() + i * 65536};
        tickets[i] = reader.submit(requests[i]);
      }
      reader.ready(tickets[random() % 4]);
      for (size_t i = 0; i < 4; ++i) {
        const ReadResult result = reader.await(tickets[i]);
        ASSERT_TRUE(result.ok()) << message(result);
        ASSERT_TRUE(text_of(result.bytes) == known.bytes(requests[i].offset, requests[i].bytes));
      }
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 4; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(reader.stats().requests, 800u);
  EXPECT_EQ(reader.stats().failed, 0u);
}

// io_uring drops the reads of a thread that ends: they must be read all the same.
TEST_P(EveryWay, SubmittedByAThreadThatIsGone) {
  const KnownFile known(8 << 20, GetParam().folder);
  AsyncReader reader(options());
  const FileId file = reader.open(known.path());
  const MemoryRegion memory(known.size());
  for (int round = 0; round < 5; ++round) {
    Ticket ticket;
    std::thread([&] { ticket = reader.submit({file, 0, known.size(), memory.data()}); }).join();
    const ReadResult result = reader.await(ticket);
    ASSERT_TRUE(result.ok()) << message(result);
    ASSERT_TRUE(text_of(result.bytes) == known.bytes(0, known.size()));
  }
}

TEST_P(EveryWay, LeavesNothingInThePageCache) {
  if (GetParam().folder == std::string("/dev/shm")) GTEST_SKIP() << "it is the page cache";
  const KnownFile known(4 << 20, GetParam().folder);
  AsyncReader reader(options());
  const FileId file = reader.open(known.path());
  const MemoryRegion memory(known.size());
  ASSERT_TRUE(read(reader, {file, 0, known.size(), memory.data()}).ok());
  const int fd = ::open(known.path().c_str(), O_RDONLY);
  void* map = ::mmap(nullptr, known.size(), PROT_READ, MAP_SHARED, fd, 0);
  std::vector<unsigned char> resident(known.size() / 4096);
  ASSERT_EQ(::mincore(map, known.size(), resident.data()), 0);
  const auto pages = std::count_if(resident.begin(), resident.end(), [](auto r) { return r & 1; });
  EXPECT_LE(pages, 16) << "of " << resident.size();
  ::munmap(map, known.size());
  ::close(fd);
}

TEST_P(EveryWay, TruncatedWhileRunning) {
  const KnownFile known(1 << 20, GetParam().folder);
  AsyncReader reader(options());
  const FileId file = reader.open(known.path());
  const MemoryRegion memory(known.size());
  EXPECT_EQ(reader.change(file), FileChange::kNone);
  ASSERT_EQ(::truncate(known.path().c_str(), 700'001), 0);
  EXPECT_EQ(reader.change(file), FileChange::kModified);
  EXPECT_EQ(message(read(reader, {file, 600'000, 200'000, memory.data()})),
            known.path() +
                ": bytes 600000..800000: the file ends at byte 700001: it became shorter while in "
                "use (was 1048576)");
  EXPECT_FALSE(read(reader, {file, 800'000, 10, memory.data()}).ok());
  const ReadResult before = read(reader, {file, 600'000, 100'001, memory.data()});
  ASSERT_TRUE(before.ok());
  EXPECT_TRUE(text_of(before.bytes) == known.bytes(600'000, 100'001));
}

TEST_P(EveryWay, ReplacedOrOverwrittenWhileRunning) {
  const KnownFile known(100'000, GetParam().folder), other(100'000, GetParam().folder, 2);
  AsyncReader reader(options());
  const FileId file = reader.open(known.path());
  const MemoryRegion memory(1 << 17);
  std::filesystem::rename(other.path(), known.path());
  EXPECT_EQ(reader.change(file), FileChange::kReplaced);
  const ReadResult old = read(reader, {file, 5, 90'000, memory.data()});
  ASSERT_TRUE(old.ok());
  EXPECT_TRUE(text_of(old.bytes) == known.bytes(5, 90'000));

  const FileId again = reader.open(known.path());
  EXPECT_EQ(reader.change(again), FileChange::kNone);
  std::this_thread::sleep_for(milliseconds(20));  // file times are not finer than that
  std::fstream(known.path(), std::ios::in | std::ios::out) << "x";
  EXPECT_EQ(reader.change(again), FileChange::kModified);
}

TEST(ProbeDisk, ReadsAndCounts) {
  const KnownFile known(4 << 20);
  const DiskSpeed speed =
      probe_disk(known.path(), {.piece_bytes = 100'000, .depth = 3, .total_bytes = 2'000'000});
  EXPECT_EQ(speed.bytes, 2'000'000u);
  EXPECT_GT(speed.bytes_per_second(), 0);
  EXPECT_EQ(error_of([&] { probe_disk(known.path(), {.piece_bytes = 5 << 20}); }),
            known.path() + ": smaller than the 5242880 bytes to read at a time");
}

// ---- Wrong use ----

TEST(AsyncReader, ReportsWrongRequests) {
  const KnownFile known(10'000);
  AsyncReader reader({});
  const FileId file = reader.open(known.path());
  const MemoryRegion memory(1 << 16);
  EXPECT_TRUE(contains(message(read(reader, {file, 9'999, 2, memory.data()})),
                       "bytes 9999..10001: past the end of the file (10000)"));
  EXPECT_FALSE(read(reader, {file, UINT64_MAX, 2, memory.data()}).ok());
  EXPECT_FALSE(read(reader, {file, 2, UINT64_MAX, memory.data()}).ok());
  EXPECT_TRUE(contains(message(read(reader, {file, 0, 2, memory.data() + 1})), "not aligned to"));
  EXPECT_TRUE(contains(message(read(reader, {FileId{7}, 0, 2, memory.data()})), "no such file"));
  EXPECT_TRUE(contains(message(reader.await({})), "awaited twice"));
  const Ticket ticket = reader.submit({file, 0, 2, memory.data()});
  EXPECT_TRUE(reader.await(ticket).ok());
  EXPECT_EQ(reader.await(ticket).error->code(), ErrorCode::kInvalidUsage);
  EXPECT_TRUE(reader.ready(ticket));
  EXPECT_TRUE(reader.drained(ticket));
  EXPECT_EQ(error_of([&] { read(reader, {file, 9'999, 2, memory.data()}).get(); }),
            "bytes 9999..10001: past the end of the file (10000)");
  EXPECT_EQ(error_of([&] { reader.open("/tmp/no-such-file"); }),
            "/tmp/no-such-file: cannot open: No such file or directory");
  EXPECT_EQ(error_of([&] { reader.open("/tmp"); }), "/tmp: not a regular file");
}

TEST(AsyncReader, EmptyFilesAndRequests) {
  const KnownFile empty(0);
  AsyncReader reader({});
  const FileId file = reader.open(empty.path());
  const Ticket ticket = reader.submit({file, 0, 0, nullptr});
  EXPECT_TRUE(reader.ready(ticket));
  EXPECT_TRUE(reader.await(ticket).ok());
}

TEST(ReadFile, NoticesADeviceThatLies) {
  const KnownFile a(100'000), b(100'000, "/tmp", 2), shorter(50'000);
  const ReadFile one(a.path(), false), two(b.path(), false), three(shorter.path(), false);
  EXPECT_TRUE(same_blocks(one.fd(), one.cached_fd(), a.size(), 4096));
  EXPECT_FALSE(same_blocks(two.fd(), one.cached_fd(), a.size(), 4096));
  EXPECT_FALSE(same_blocks(three.fd(), one.cached_fd(), a.size(), 4096));
}

// ---- Faults ----

// A reader over a device with these faults.
struct Faulty {
  explicit Faulty(FaultPlan plan, AsyncReader::Options options = {}) {
    auto owned = std::make_unique<FaultyBackend>(make_pread_backend(options.depth), plan);
    device = owned.get();
    reader = std::make_unique<AsyncReader>(options, std::move(owned));
  }
  FaultyBackend* device;
  std::unique_ptr<AsyncReader> reader;
};

const AsyncReader::Options kSmallPieces{.depth = 4, .piece_bytes = 4096};

// Each piece in turn fails, once or for good, in each way.
TEST(AsyncReaderFaults, EveryPieceInTurn) {
  const KnownFile known(40'000);
  const MemoryRegion memory(65536);
  for (const Fault fault : {Fault::kError, Fault::kInterrupted, Fault::kShort, Fault::kLate}) {
    for (uint64_t failing = 0; failing < 10; ++failing) {
      Faulty f([&](uint64_t n, const ReadPiece&) { return n == failing ? fault : Fault::kNone; },
               kSmallPieces);
      const FileId file = f.reader->open(known.path());
      const ReadResult result = read(*f.reader, {file, 10, 39'000, memory.data()});
      ASSERT_TRUE(result.ok()) << message(result);
      ASSERT_TRUE(text_of(result.bytes) == known.bytes(10, 39'000));
      // What is cut off the last piece may lie behind what was asked for.
      const bool enough = fault == Fault::kShort && failing == 9 && f.reader->stats().retries == 0;
      EXPECT_EQ(f.reader->stats().retries, fault == Fault::kLate || enough ? 0u : 1u)
          << static_cast<int>(fault) << ' ' << failing;
      EXPECT_EQ(f.device->injected(), 1u);
    }
  }
}

TEST(AsyncReaderFaults, BadSectorsAreNamedAfterFourAttempts) {
  const KnownFile known(40'000);
  const MemoryRegion memory(1 << 17);
  int attempts = 0;
  Faulty f(
      [&](uint64_t, const ReadPiece& piece) {
        const bool bad = piece.offset <= 20'480 && 20'480 < piece.offset + piece.bytes;
        attempts += bad;
        return bad ? Fault::kError : Fault::kNone;
      },
      kSmallPieces);
  const FileId file = f.reader->open(known.path());
  const Ticket broken = f.reader->submit({file, 10, 39'000, memory.data()});
  const Ticket fine = f.reader->submit({file, 30'000, 9'000, memory.data() + 65536});
  const ReadResult result = f.reader->await(broken);
  EXPECT_EQ(message(result),
            known.path() + ": bytes 10..39010: read error at 20480: Input/output error");
  EXPECT_EQ(result.error->code(), ErrorCode::kIo);
  EXPECT_FALSE(result.buffer_busy);
  EXPECT_TRUE(result.bytes.empty());
  EXPECT_EQ(attempts, 4);
  const ReadResult other = f.reader->await(fine);
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE(text_of(other.bytes) == known.bytes(30'000, 9'000));
}

// Answers as the pread threads do, but the first wait with a deadline ends long after it, with
// nothing: as for a process that was stopped by Ctrl-Z.
class StoppedBackend final : public ReadBackend {
 public:
  std::string_view name() const override { return "stopped"; }
  void start(std::span<const ReadPiece> pieces) override { inner_->start(pieces); }
  void wake() override { inner_->wake(); }
  void shutdown() override { inner_->shutdown(); }
  void wait(SteadyTime until, std::vector<PieceResult>& done) override {
    const bool stops = until > std::chrono::steady_clock::now() && !std::exchange(stopped_, true);
    if (!stops) return inner_->wait(until, done);
    std::this_thread::sleep_until(until + milliseconds(1100));
  }

 private:
  std::unique_ptr<ReadBackend> inner_ = make_pread_backend(4);
  bool stopped_ = false;
};

TEST(AsyncReader, TheTimeAProcessIsStoppedIsNotTheDevices) {
  const KnownFile known(40'000);
  const MemoryRegion memory(1 << 16);
  AsyncReader reader({.timeout = milliseconds(50)}, std::make_unique<StoppedBackend>());
  const ReadResult result = read(reader, {reader.open(known.path()), 10, 30'000, memory.data()});
  ASSERT_TRUE(result.ok()) << message(result);
  EXPECT_TRUE(text_of(result.bytes) == known.bytes(10, 30'000));
}

// Whatever the mixture: the right bytes, or an error.
TEST(AsyncReaderFaults, RandomMixtures) {
  const KnownFile known(1 << 20);
  uint64_t injected = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const bool lossy = seed % 4 == 0;
    Faulty f(random_faults(seed, {.error = lossy ? 0.05 : 0,
                                  .interrupted = 0.1,
                                  .cut_short = 0.2,
                                  .late = 0.2,
                                  .never = lossy ? 0.002 : 0}),
             {.depth = 8, .piece_bytes = 8192, .timeout = milliseconds(400)});
    const FileId file = f.reader->open(known.path());
    const auto work = [&](uint64_t thread) {
      std::mt19937_64 random(seed * 2 + thread);
      for (int round = 0; round < 10; ++round) {
        std::deque<MemoryRegion> buffers;  // each its own: some are lost
        std::vector<std::pair<ReadRequest, Ticket>> reads;
        for (int i = 0; i < 8; ++i) {
          const uint64_t bytes = random() % 60'000;
          buffers.emplace_back(65536);
          const ReadRequest request{file, random() % (known.size() - bytes), bytes,
                                    buffers.back().data()};
          reads.push_back({request, f.reader->submit(request)});
        }
        for (const auto& [request, ticket] : reads) {
          const ReadResult result = f.reader->await(ticket);
          if (result.ok()) {
            ASSERT_TRUE(text_of(result.bytes) == known.bytes(request.offset, request.bytes));
          } else {
            ASSERT_TRUE(lossy) << message(result);
            ASSERT_EQ(result.error->code(), ErrorCode::kIo);
          }
          if (!result.buffer_busy) continue;
          f.device->release();
          while (!f.reader->drained(ticket)) std::this_thread::sleep_for(milliseconds(1));
        }
      }
    };
    std::thread second(work, 1);
    work(0);
    second.join();
    injected += f.device->injected();
  }
  EXPECT_GT(injected, 2'000u);
  fmt::print("faults injected below AsyncReader: {}\n", injected);
}

TEST(AsyncReaderFaults, ADeviceThatNeverAnswersIsLateAndThenQuarantined) {
  const KnownFile known(40'000);
  const MemoryRegion memory(1 << 17);
  Faulty f([](uint64_t n, const ReadPiece&) { return n == 1 ? Fault::kNever : Fault::kNone; },
           kSmallPieces);
  const FileId file = f.reader->open(known.path());
  const Ticket ticket = f.reader->submit({file, 0, 40'000, memory.data(), milliseconds(80)});
  ReadResult result;
  const double seconds = seconds_of([&] { result = f.reader->await(ticket); });
  EXPECT_EQ(message(result),
            known.path() + ": bytes 0..40000: no answer from the device for 80 ms");
  EXPECT_GE(seconds, 0.08);
  EXPECT_LT(seconds, 1.0);
  EXPECT_GE(f.reader->stats().stall_seconds, 0.08);
  EXPECT_TRUE(result.buffer_busy);
  EXPECT_FALSE(f.reader->drained(ticket));
  EXPECT_FALSE(f.reader->await(ticket).ok());  // twice is an error, not a second wait
  // Others are served meanwhile.
  const ReadResult other = read(*f.reader, {file, 100, 30'000, memory.data() + 65536});
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE(text_of(other.bytes) == known.bytes(100, 30'000));
  f.device->release();
  EXPECT_TRUE(f.reader->drained(ticket));
}

TEST(AsyncReaderFaults, ReadyDoesNotWait) {
  const KnownFile known(40'000);
  const MemoryRegion memory(65536);
  Faulty f([](uint64_t, const ReadPiece&) { return Fault::kNever; });
  const FileId file = f.reader->open(known.path());
  const Ticket ticket = f.reader->submit({file, 0, 40'000, memory.data()});
  EXPECT_LT(seconds_of([&] { EXPECT_FALSE(f.reader->ready(ticket)); }), 0.5);
}

TEST(AsyncReaderFaults, CancelWakesWhoeverWaits) {
  const KnownFile known(40'000);
  const MemoryRegion memory(4 * 65536);
  Faulty f([](uint64_t, const ReadPiece&) { return Fault::kNever; }, kSmallPieces);
  const FileId file = f.reader->open(known.path());
  std::vector<std::thread> threads;
  std::atomic<int> cancelled{0}, busy{0};
  for (uint64_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const ReadResult result = read(*f.reader, {file, 0, 40'000, memory.data() + i * 65536});
      cancelled += result.error && result.error->code() == ErrorCode::kCancelled;
      busy += result.buffer_busy;
    });
  }
  while (f.reader->stats().requests < 4) std::this_thread::yield();
  EXPECT_LT(seconds_of([&] {
              f.reader->cancel_all();
              for (std::thread& thread : threads) thread.join();
            }),
            2.0);
  EXPECT_EQ(cancelled, 4);
  EXPECT_GE(busy, 1);  // those that had pieces with the device
}

TEST(AsyncReaderFaults, WhatWasCancelledIsNotReadAndTheRestIs) {
  const KnownFile known(40'000);
  const MemoryRegion memory(3 * 65536);
  std::memset(memory.data(), 0x55, memory.size());
  // The first four pieces take their time, so the second request has not begun.
  Faulty f([](uint64_t n, const ReadPiece&) { return n < 4 ? Fault::kNever : Fault::kNone; },
           kSmallPieces);
  const FileId file = f.reader->open(known.path());
  const Ticket slow = f.reader->submit({file, 0, 16'384, memory.data()});
  const Ticket unwanted = f.reader->submit({file, 0, 30'000, memory.data() + 65536});
  const Ticket wanted = f.reader->submit({file, 1, 30'000, memory.data() + 2 * 65536});
  f.reader->cancel(unwanted);
  ReadResult result;
  EXPECT_LT(seconds_of([&] { result = f.reader->await(unwanted); }), 0.5);
  EXPECT_EQ(result.error->code(), ErrorCode::kCancelled);
  EXPECT_FALSE(result.buffer_busy);
  f.device->release();
  EXPECT_TRUE(f.reader->await(slow).ok());
  result = f.reader->await(wanted);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(text_of(result.bytes) == known.bytes(1, 30'000));
  EXPECT_EQ(memory.data()[65536], std::byte{0x55});
  f.reader->cancel(wanted);  // of no consequence any more
}

TEST(AsyncReader, MayBeDestroyedWhileReading) {
  const KnownFile known(8 << 20);
  for (const Backend backend : {Backend::kAuto, Backend::kPread}) {
    const MemoryRegion memory(known.size());
    AsyncReader reader({.backend = backend, .depth = 8});
    const FileId file = reader.open(known.path());
    reader.submit({file, 0, known.size(), memory.data()});
  }
}

// What a device that never answers may still write to stays where it is.
TEST(AsyncReaderFaults, MayBeDestroyedWhenTheDeviceHasGone) {
  // Does not even give up what it has when it is told to.
  class Gone final : public ReadBackend {
   public:
    std::string_view name() const override { return "gone"; }
    void start(std::span<const ReadPiece> pieces) override {
      for (const ReadPiece& piece : pieces) last = piece.data + piece.bytes - 1;
    }
    void wait(SteadyTime until, std::vector<PieceResult>&) override {
      std::this_thread::sleep_until(
          std::min(until, std::chrono::steady_clock::now() + milliseconds(10)));
    }
    void wake() override {}
    void shutdown() override {}
    std::byte* last = nullptr;
  };
  const KnownFile known(40'000);
  auto gone = std::make_unique<Gone>();
  Gone* device = gone.get();
  auto reader = std::make_unique<AsyncReader>(AsyncReader::Options{}, std::move(gone));
  MemoryRegion memory(65536);
  reader->submit({reader->open(known.path()), 0, 40'000, memory.data()});
  reader->keep(std::move(memory));
  EXPECT_LT(seconds_of([&] { reader.reset(); }), 2.0);
  *device->last = std::byte{1};  // both are still there
}

}  // namespace
}  // namespace st
