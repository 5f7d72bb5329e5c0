#include "io/async_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/round.h"

namespace st {
namespace {

using std::chrono::milliseconds;

// How long await() stays for the pieces of a cancelled or failed request, so that its buffer is
// usually free again when it returns.
constexpr milliseconds kDrain{1000};

// What the destructor gives the device in any case.
constexpr milliseconds kLastChance{200};

// A wait that ends so much later than it should have: this process was stopped meanwhile, and the
// device gets its time once more.
constexpr milliseconds kStopped{1000};

// Pauses before an input/output error is tried again; after the last one it is final.
constexpr milliseconds kPauses[] = {milliseconds(10), milliseconds(50), milliseconds(250)};

constexpr SteadyTime kNow{};  // a time that has passed: look, do not sleep

std::unique_ptr<ReadBackend> choose_backend(const AsyncReader::Options& options) {
  const auto with_threads = [&] {
    return make_pread_backend(options.depth, std::min(options.depth, 8));
  };
  if (options.backend == AsyncReader::Backend::kPread) return with_threads();
  std::string reason;
  std::unique_ptr<ReadBackend> uring = make_uring_backend(options.depth, reason);
  if (uring) return uring;
  if (options.backend == AsyncReader::Backend::kUring) {
    fail(ErrorCode::kUnsupported, "no io_uring: {}", reason);
  }
  if (options.log) options.log(fmt::format("no io_uring ({}): reading with threads", reason));
  return with_threads();
}

}  // namespace

struct AsyncReader::Request {
  uint32_t generation = 1;
  bool used = false;
  const ReadFile* file = nullptr;
  uint64_t offset = 0, bytes = 0;  // what is wanted
  std::byte* buffer = nullptr;
  milliseconds timeout{0};

  uint64_t begin = 0;  // file offset of buffer[0]
  uint64_t next = 0;   // file offset of the first byte that is in no piece yet
  int pieces = 0;      // cut, not finished
  std::optional<Error> error;
  SteadyTime drain_until{};  // set with the error
  bool forgotten = false;    // await() has returned, pieces are still with the device

  uint64_t end() const { return offset + bytes; }
  bool over() const { return next >= end() && pieces == 0; }
};

struct AsyncReader::Piece {
  uint32_t request = 0;
  uint64_t offset = 0;  // in the file
  uint32_t bytes = 0;   // whole blocks, unless `cached`
  bool cached = false;  // read through the page cache
  size_t failures = 0;
  SteadyTime not_before{};  // in again_: when
};

AsyncReader::AsyncReader(Options options) : AsyncReader(options, choose_backend(options)) {}

AsyncReader::AsyncReader(Options options, std::unique_ptr<ReadBackend> backend)
    : options_(std::move(options)),
      backend_(std::move(backend)),
      pieces_(static_cast<size_t>(options_.depth)) {
  for (uint32_t i = 0; i < pieces_.size(); ++i) free_pieces_.push_back(i);
}

AsyncReader::~AsyncReader() {
  std::unique_lock lock(mutex_);
  for (uint32_t i = 0; i < requests_.size(); ++i) cancel_request(i);
  backend_->shutdown();
  SteadyTime until = Clock::now() + kLastChance;
  for (const auto& request : requests_) {
    if (request->used && request->pieces > 0) until = std::max(until, request->drain_until);
  }
  while (in_flight_ > 0 && Clock::now() < until) sleep(lock, until);
  if (in_flight_ > 0) abandon();
}

// A device that has gone would be waited for without end: what it may still write to, and what
// reads from it, stays as long as the process.
void AsyncReader::abandon() {
  struct Abandoned {
    std::unique_ptr<ReadBackend> backend;
    std::vector<std::unique_ptr<ReadFile>> files;
    std::vector<MemoryRegion> memory;
  };
  static std::mutex mutex;
  static auto* const all = new std::vector<Abandoned>;  // never destroyed
  const std::lock_guard lock(mutex);
  all->push_back({std::move(backend_), std::move(files_), std::move(kept_)});
}

FileId AsyncReader::open(const std::string& path, PageCache cache) {
  const bool direct = options_.direct && cache == PageCache::kPast;
  auto file = std::make_unique<ReadFile>(path, direct, cache == PageCache::kUse);
  const bool cached = direct && !file->direct();
  if (cached && options_.log && !noted_cached_.exchange(true)) {
    options_.log(fmt::format("{}: reading through the page cache: {}", printable_path(path),
                             file->reason()));
  }
  const std::lock_guard lock(mutex_);
  backend_->register_file(file->fd());
  files_.push_back(std::move(file));
  return static_cast<FileId>(files_.size() - 1);
}

FileId AsyncReader::open_again(const ByteSource* source, PageCache cache) {
  const auto* file = dynamic_cast<const File*>(source);
  if (file == nullptr) fail(ErrorCode::kUnsupported, "a memory budget needs a model in a file");
  const FileId id = open(file->path(), cache);
  file->check_in_place();
  if (change(id) != FileChange::kNone) {
    fail(ErrorCode::kIo, "{}: the file was replaced while it was loaded",
         printable_path(file->path()));
  }
  return id;
}

const ReadFile& AsyncReader::at(FileId file) const {
  const std::lock_guard lock(mutex_);
  return *files_.at(static_cast<size_t>(file));
}

uint64_t AsyncReader::room(FileId file, uint64_t bytes) const {
  const uint64_t unit = alignment(file);
  return round_up(bytes + unit - 1, unit);
}

void AsyncReader::register_memory(std::span<std::byte> memory) {
  const std::lock_guard lock(mutex_);
  backend_->register_memory(memory);
}

Ticket AsyncReader::submit(const ReadRequest& wanted) {
  const std::lock_guard lock(mutex_);
  const uint32_t index = new_request();
  Request& request = *requests_[index];
  const Ticket ticket{index, request.generation};
  ++stats_.requests;
  stats_.bytes_wanted += wanted.bytes;
  request.offset = wanted.offset;
  request.bytes = wanted.bytes;
  if (const std::string wrong = check(wanted); !wrong.empty()) {
    fail_request(index, ErrorCode::kInvalidUsage, wrong);
    return ticket;
  }
  request.file = files_[static_cast<size_t>(wanted.file)].get();
  request.buffer = wanted.buffer;
  request.timeout = wanted.timeout.count() > 0 ? wanted.timeout : options_.timeout;
  request.begin = wanted.offset - wanted.offset % request.file->alignment();
  request.next = wanted.bytes > 0 ? request.begin : request.end();
  if (!request.over()) waiting_.push_back(ticket);
  start_more();
  return ticket;
}

bool AsyncReader::ready(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  const auto is_ready = [&] {
    const Request* request = find(ticket);
    return !request || request->forgotten || request->over() ||
           (request->error && Clock::now() >= request->drain_until);
  };
  if (is_ready()) return true;
  if (!sleeping_) poll();
  return is_ready();
}

ReadResult AsyncReader::await(Ticket ticket, const Stop& stop) {
  std::unique_lock lock(mutex_);
  SteadyTime asleep_since{}, asked{};
  for (;;) {
    Request* request = find(ticket);
    if (!request || request->forgotten) {
      return {.error = Error(ErrorCode::kInvalidUsage, "a read was awaited twice")};
    }
    if (request->over()) break;
    if (stop.requested()) {
      cancel_request(ticket.index);
      break;
    }
    const SteadyTime now = Clock::now();
    if (asleep_since == SteadyTime{}) asleep_since = asked = now;
    if (now >= asked + request->timeout + kStopped) asked = now;
    SteadyTime until = asked + request->timeout;
    if (request->error) until = std::min(until, request->drain_until);
    if (now >= until) {
      fail_request(ticket.index, ErrorCode::kIo,
                   fmt::format("no answer from the device for {} ms", request->timeout.count()));
      break;
    }
    until = std::min<SteadyTime>(until, now + Stop::kLook);
    if (sleeping_) {
      changed_.wait_until(lock, until);
    } else {
      sleep(lock, until);
    }
  }
  if (asleep_since != SteadyTime{}) {
    stats_.stall_seconds += seconds_since(asleep_since);
    changed_.notify_all();  // somebody else must wait for the device now
  }
  Request& request = *requests_[ticket.index];
  ReadResult result{.error = request.error, .buffer_busy = request.pieces > 0};
  if (result.ok()) {
    result.bytes = {request.buffer + (request.offset - request.begin), request.bytes};
  }
  request.forgotten = true;
  if (request.pieces == 0) free_request(ticket.index);
  return result;
}

void AsyncReader::cancel(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  if (find(ticket)) cancel_request(ticket.index);
  start_more();
  backend_->wake();
  changed_.notify_all();
}

void AsyncReader::cancel_all() {
  const std::lock_guard lock(mutex_);
  for (uint32_t i = 0; i < requests_.size(); ++i) cancel_request(i);
  backend_->wake();
  changed_.notify_all();
}

bool AsyncReader::drained(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  if (find(ticket) && !sleeping_) poll();
  return !find(ticket);
}

void AsyncReader::keep(MemoryRegion memory) {
  const std::lock_guard lock(mutex_);
  kept_.push_back(std::move(memory));
}

ReadStats AsyncReader::stats() const {
  const std::lock_guard lock(mutex_);
  ReadStats stats = stats_;
  if (in_flight_ > 0) stats.busy_seconds += seconds_since(busy_since_);
  return stats;
}

// ---- Requests ----

AsyncReader::Request* AsyncReader::find(Ticket ticket) {
  if (ticket.index >= requests_.size()) return nullptr;
  Request& request = *requests_[ticket.index];
  return request.used && request.generation == ticket.generation ? &request : nullptr;
}

uint32_t AsyncReader::new_request() {
  if (free_requests_.empty()) {
    free_requests_.push_back(static_cast<uint32_t>(requests_.size()));
    requests_.push_back(std::make_unique<Request>());
  }
  const uint32_t index = free_requests_.back();
  free_requests_.pop_back();
  const uint32_t generation = requests_[index]->generation;
  *requests_[index] = Request{.generation = generation, .used = true};
  return index;
}

void AsyncReader::free_request(uint32_t index) {
  requests_[index]->used = false;
  ++requests_[index]->generation;
  free_requests_.push_back(index);
}

std::string AsyncReader::check(const ReadRequest& wanted) const {
  if (static_cast<size_t>(wanted.file) >= files_.size()) return "no such file in this reader";
  const ReadFile& file = *files_[static_cast<size_t>(wanted.file)];
  if (wanted.offset > file.size() || wanted.bytes > file.size() - wanted.offset) {
    return fmt::format("past the end of the file ({})", file.size());
  }
  if (reinterpret_cast<uintptr_t>(wanted.buffer) % file.alignment() != 0) {
    return fmt::format("the buffer is not aligned to {}", file.alignment());
  }
  return {};
}

// What was with the device stays there; nothing more is begun.
void AsyncReader::fail_request(uint32_t index, ErrorCode code, std::string_view reason) {
  Request& request = *requests_[index];
  if (!request.error) {
    const std::string path = request.file ? printable_path(request.file->path()) + ": " : "";
    request.error = Error(code, fmt::format("{}bytes {}..{}: {}", path, request.offset,
                                            request.offset + request.bytes, reason));
    request.drain_until = Clock::now() + kDrain;
    ++stats_.failed;
  }
  request.next = request.end();
  ended_ = true;
  std::vector<uint32_t> dropped;
  std::erase_if(again_, [&](uint32_t piece) {
    if (pieces_[piece].request != index) return false;
    dropped.push_back(piece);
    return true;
  });
  for (const uint32_t piece : dropped) drop_piece(piece);
}

void AsyncReader::cancel_request(uint32_t index) {
  const Request& request = *requests_[index];
  if (!request.used || request.error || request.over()) return;
  fail_request(index, ErrorCode::kCancelled, "cancelled");
}

// ---- Waiting for the device ----

void AsyncReader::poll() {
  backend_->wait(kNow, done_);
  settle();
}

void AsyncReader::sleep(std::unique_lock<std::mutex>& lock, SteadyTime until) {
  for (const uint32_t piece : again_) until = std::min(until, pieces_[piece].not_before);
  sleeping_ = true;
  lock.unlock();
  backend_->wait(until, done_);
  lock.lock();
  sleeping_ = false;
  settle();
}

void AsyncReader::settle() {
  for (const PieceResult& done : done_) complete(done);
  done_.clear();
  start_more();
  if (std::exchange(ended_, false)) changed_.notify_all();
}

void AsyncReader::complete(const PieceResult& done) {
  Piece& piece = pieces_[done.tag];
  Request& request = *requests_[piece.request];
  if (--in_flight_ == 0) stats_.busy_seconds += seconds_since(busy_since_);
  if (done.result > 0) {
    stats_.bytes_read += static_cast<uint64_t>(done.result);
    if (piece.cached) request.file->forget(piece.offset, piece.bytes);
  }
  if (request.error) return drop_piece(done.tag);

  // The last block may reach past what is wanted, and past the end of the file.
  const uint64_t needed = std::min<uint64_t>(piece.bytes, request.end() - piece.offset);
  if (done.result > 0 && static_cast<uint64_t>(done.result) >= needed) return drop_piece(done.tag);

  if (done.result > 0) {
    // The rest need not begin at a block, so it comes through the page cache.
    piece.offset += static_cast<uint64_t>(done.result);
    piece.bytes = static_cast<uint32_t>(needed - static_cast<uint64_t>(done.result));
    piece.cached = true;
    return read_again(done.tag, milliseconds(0));
  }
  const int error = -done.result;
  if (error == EINTR || error == EAGAIN || error == ECANCELED) {
    // ECANCELED: io_uring drops the reads of a thread that has ended.
    return read_again(done.tag, milliseconds(error == EAGAIN ? 1 : 0));
  }
  if (error == EIO && piece.failures < std::size(kPauses)) {
    return read_again(done.tag, kPauses[piece.failures++]);
  }
  if (error == 0) {
    fail_request(piece.request, ErrorCode::kIo,
                 fmt::format("the file ends at byte {}: it became shorter while in use (was {})",
                             piece.offset, request.file->size()));
  } else {
    fail_request(piece.request, ErrorCode::kIo,
                 fmt::format("read error at {}: {}", piece.offset, std::strerror(error)));
  }
  drop_piece(done.tag);
}

// ---- Pieces ----

void AsyncReader::read_again(uint32_t piece, milliseconds pause) {
  pieces_[piece].not_before = Clock::now() + pause;
  again_.push_back(piece);
  ++stats_.retries;
}

void AsyncReader::drop_piece(uint32_t piece) {
  const uint32_t index = pieces_[piece].request;
  Request& request = *requests_[index];
  free_pieces_.push_back(piece);
  --request.pieces;
  if (request.over()) ended_ = true;
  if (request.forgotten && request.pieces == 0) free_request(index);
}

// Hands as much to the device as it may have: first what must be read again, then what is new.
void AsyncReader::start_more() {
  std::vector<uint32_t> pieces;
  take_due(pieces);
  while (!waiting_.empty() && !free_pieces_.empty()) {
    if (!cut_piece(pieces)) waiting_.pop_front();
  }
  if (pieces.empty()) return;
  batch_.clear();
  for (const uint32_t i : pieces) {
    const Piece& piece = pieces_[i];
    const Request& request = *requests_[piece.request];
    batch_.push_back({.fd = piece.cached ? request.file->cached_fd() : request.file->fd(),
                      .offset = piece.offset,
                      .data = request.buffer + (piece.offset - request.begin),
                      .bytes = piece.bytes,
                      .tag = i,
                      .cached = piece.cached});
  }
  stats_.pieces += pieces.size();
  if (in_flight_ == 0) busy_since_ = Clock::now();
  in_flight_ += pieces.size();
  stats_.peak_in_flight = std::max(stats_.peak_in_flight, in_flight_);
  backend_->start(batch_);
}

void AsyncReader::take_due(std::vector<uint32_t>& pieces) {
  if (again_.empty()) return;
  const SteadyTime now = Clock::now();
  std::erase_if(again_, [&](uint32_t i) {
    const bool due = pieces_[i].not_before <= now;
    if (due) pieces.push_back(i);
    return due;
  });
}

// The next piece of the oldest request; false if nothing is left of it.
bool AsyncReader::cut_piece(std::vector<uint32_t>& pieces) {
  const uint32_t index = waiting_.front().index;
  Request* request = find(waiting_.front());
  if (!request || request->next >= request->end()) return false;
  const uint64_t unit = request->file->alignment();
  const uint64_t bytes = std::min(round_up<uint64_t>(options_.piece_bytes, unit),
                                  round_up(request->end() - request->next, unit));
  const uint32_t i = free_pieces_.back();
  free_pieces_.pop_back();
  pieces_[i] = {.request = index,
                .offset = request->next,
                .bytes = static_cast<uint32_t>(bytes),
                .cached = !request->file->direct()};
  request->next += bytes;
  ++request->pieces;
  pieces.push_back(i);
  return true;
}

}  // namespace st
