// Reads many ranges of files while the caller computes.
//
//   AsyncReader reader({.log = note});
//   const FileId file = reader.open("model.gguf");
//   MemoryRegion slot(reader.room(file, bytes));             // page-aligned
//   const Ticket ticket = reader.submit({file, offset, bytes, slot.data()});  // returns at once
//   ...                                                      // compute
//   const ReadResult read = reader.await(ticket);            // sleeps if it must
//   use(read.get());                                         // (bytes), or throws what went wrong
//
// Where the bytes are. A request may begin and end anywhere; the device reads whole blocks. So a
// buffer begins at a multiple of alignment(file), has room(file, bytes) bytes, and what was asked
// for lies in it from `offset % alignment(file)` on, without having been copied. The rest of the
// buffer gets what is around it in the file, or is left alone. Take buffers from memory with huge
// pages (MemoryRegion::prefer_huge_pages): a device gets one address for each page, and with small
// ones a disk that could do 2.4 GB/s was measured at 0.9.
//
// Order. Requests are served in the order of submission, cut into pieces of `piece_bytes` of which
// up to `depth` are with the device at once, so one large request is as fast as many small ones.
// There is no thread behind this but the kernel's (or the pread pool's): what does not fit into
// `depth` is started by whichever call comes next, of submit(), ready() or await().
//
// Errors are values. submit() never fails; await() says what happened, in one line with the file,
// the range and the reason. Interrupted and short reads are continued, an input/output error is
// tried again three times. No bytes are handed out unless all of them were read.
//
// Who owns the buffer: the reader, from submit() until await() returns, which must be called once
// for each ticket. Only when a request timed out or was cancelled and the device did not answer in
// time is the buffer still busy after await() (`buffer_busy`): leave it alone until drained(ticket)
// says that nothing will write to it any more.
//
// Thread-safety: every call may be made by any thread at any time. While one waits for the device
// the others sleep behind it. The destructor cancels everything and waits for the device, but not
// much longer than a second: then what the device may still write to is left to it (see keep()).
// Nothing may be in await() by then.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/memory.h"
#include "base/stop.h"
#include "io/read_backend.h"
#include "io/read_file.h"

namespace st {

enum class FileId : int32_t {};

// What reads of a file do with the page cache.
enum class PageCache {
  kPast,  // go past it where that is possible, and else leave nothing in it
  kUse,   // small ones that come again
};

// Names a submitted request. A default one names none, and is drained.
struct Ticket {
  uint32_t index = 0;
  uint32_t generation = 0;
};

struct ReadRequest {
  FileId file{};
  uint64_t offset = 0;
  uint64_t bytes = 0;
  std::byte* buffer = nullptr;           // see above
  std::chrono::milliseconds timeout{0};  // longest sleep in await(); 0: as the options say
};

struct ReadResult {
  std::span<std::byte> bytes;  // what was asked for, within the buffer; empty after an error
  std::optional<Error> error;  // kIo, kCancelled or kInvalidUsage
  bool buffer_busy = false;    // after an error: see drained()

  bool ok() const { return !error; }
  std::span<std::byte> get() const {
    if (error) throw *error;
    return bytes;
  }
};

struct ReadStats {
  uint64_t requests = 0;        // submitted
  uint64_t bytes_wanted = 0;    // sum of their sizes
  uint64_t bytes_read = 0;      // what the device gave: whole blocks, repeated reads
  uint64_t pieces = 0;          // reads handed to the kernel
  uint64_t retries = 0;         // of those, after an error or a short read
  uint64_t failed = 0;          // requests that ended in an error, cancelled ones included
  uint64_t peak_in_flight = 0;  // pieces
  double stall_seconds = 0;     // spent asleep in await(), summed over threads
  double busy_seconds = 0;      // with pieces at the device; their end is noticed by the next call
};

class AsyncReader {
 public:
  enum class Backend { kAuto, kUring, kPread };  // kAuto: io_uring if it can be had
  struct Options {
    Backend backend = Backend::kAuto;
    bool direct = true;                         // past the page cache, where possible
    int depth = 64;                             // pieces in flight
    uint32_t piece_bytes = 512 * 1024;          // rounded up to a file's alignment
    std::chrono::milliseconds timeout{30000};   // longest sleep in one await()
    std::function<void(std::string_view)> log;  // one line each time something falls back
  };

  // Throws Error(kUnsupported) if kUring is demanded but cannot be had.
  explicit AsyncReader(Options options);
  // With a backend made elsewhere, for tests.
  AsyncReader(Options options, std::unique_ptr<ReadBackend> backend);
  ~AsyncReader();
  AsyncReader(const AsyncReader&) = delete;
  AsyncReader& operator=(const AsyncReader&) = delete;

  // Opens a file for reading; it stays open as long as the reader. Throws like ReadFile.
  FileId open(const std::string& path, PageCache cache = PageCache::kPast);
  // The file that a source reads, once more. Throws Error(kUnsupported) for a source that is none,
  // Error(kIo) if another file has its name now.
  FileId open_again(const ByteSource* source, PageCache cache = PageCache::kPast);
  uint64_t size(FileId file) const { return at(file).size(); }
  bool direct(FileId file) const { return at(file).direct(); }
  uint32_t alignment(FileId file) const { return at(file).alignment(); }
  // Bytes a buffer needs for any range of this many bytes.
  uint64_t room(FileId file, uint64_t bytes) const;
  const std::string& path(FileId file) const { return at(file).path(); }
  // Whether the file is still what was opened; no reading.
  FileChange change(FileId file) const { return at(file).change(); }

  // A hint that many reads will go to this memory, which must outlive the reader: the kernel need
  // not look up its pages each time. It makes all of it resident at once and keeps it so, which is
  // wrong for memory that should grow or shrink; and it gains little where pages are huge.
  void register_memory(std::span<std::byte> memory);

  Ticket submit(const ReadRequest& request);
  // Whether await() would return without sleeping.
  bool ready(Ticket ticket);
  // Once `stop` is requested the read is given up as by cancel(), and await() returns within
  // Stop::kLook without waiting for the device, which may still write to the buffer.
  ReadResult await(Ticket ticket, const Stop& stop = Stop::never());

  // Pieces that are not with the device yet will not be read, and await() returns within a second,
  // with kCancelled unless the request was complete before.
  void cancel(Ticket ticket);
  void cancel_all();
  // After await(): whether the buffer may be used again.
  bool drained(Ticket ticket);

  // Memory that reads may still go to when its owner goes: freed when the device is done with it.
  void keep(MemoryRegion memory);

  std::string_view backend() const { return backend_->name(); }
  ReadStats stats() const;

 private:
  struct Request;
  struct Piece;

  const ReadFile& at(FileId file) const;
  // The rest is called with mutex_ held.
  Request* find(Ticket ticket);
  uint32_t new_request();
  std::string check(const ReadRequest& wanted) const;
  void poll();
  void sleep(std::unique_lock<std::mutex>& lock, SteadyTime until);
  void settle();
  void complete(const PieceResult& done);
  void start_more();
  bool cut_piece(std::vector<uint32_t>& pieces);
  void take_due(std::vector<uint32_t>& pieces);
  void read_again(uint32_t piece, std::chrono::milliseconds pause);
  void drop_piece(uint32_t piece);
  void fail_request(uint32_t index, ErrorCode code, std::string_view reason);
  void cancel_request(uint32_t index);
  void free_request(uint32_t index);
  void abandon();

  const Options options_;
  std::unique_ptr<ReadBackend> backend_;
  std::atomic<bool> noted_cached_{false};  // the log has been told that a file has no O_DIRECT

  mutable std::mutex mutex_;
  std::condition_variable changed_;  // a request ended, or nobody waits for the device any more
  bool sleeping_ = false;            // a thread is in backend_->wait() without mutex_
  std::vector<PieceResult> done_;    // of that thread, or of who holds mutex_ if there is none

  std::vector<std::unique_ptr<ReadFile>> files_;
  std::vector<std::unique_ptr<Request>> requests_;  // where they are they stay
  std::vector<uint32_t> free_requests_;
  std::deque<Ticket> waiting_;  // requests of which not all pieces have been cut, oldest first
  std::vector<Piece> pieces_;   // (depth): with the device or to be read again
  std::vector<uint32_t> free_pieces_;
  std::vector<uint32_t> again_;   // pieces to be read again, each from its own time on
  std::vector<ReadPiece> batch_;  // scratch of start_more()
  uint64_t in_flight_ = 0;        // pieces with the device
  SteadyTime busy_since_{};       // if there are any
  bool ended_ = false;            // a request ended since settle() was last through
  std::vector<MemoryRegion> kept_;
  ReadStats stats_;
};

}  // namespace st
