#include "io/read_backend.h"

#ifndef ST_HAVE_URING

namespace st {
std::unique_ptr<ReadBackend> make_uring_backend(int, std::string& reason) {
  reason = "built without liburing";
  return nullptr;
}
}  // namespace st

#else

#include <liburing.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

namespace st {
namespace {

constexpr uint64_t kWake = UINT64_MAX;  // user data of what only interrupts a wait()
constexpr unsigned kFileSlots = 64;     // more files are read unregistered
constexpr unsigned kMemorySlots = 64;
constexpr size_t kMemoryPart = size_t{1} << 30;  // the kernel takes no more at a time
constexpr unsigned kKernelThreads = 8;           // for reads through the page cache
constexpr std::chrono::milliseconds kPause{1};
constexpr int kAttempts = 100;

// The submission side is used by start(), wake() and shutdown(), the completion side by wait(): the
// two share nothing but the kernel.
class UringBackend final : public ReadBackend {
 public:
  explicit UringBackend(int depth) {
    // Room for `depth` pieces, one wake and one cancellation: the queue is never full.
    error_ = ::io_uring_queue_init(static_cast<unsigned>(depth) + 2, &ring_, 0);
    if (error_ != 0) return;
    open_ = true;
    error_ = try_out();
    unsigned limits[2] = {kKernelThreads, kKernelThreads};
    ::io_uring_register_iowq_max_workers(&ring_, limits);  // best effort
    has_slots_ = ::io_uring_register_files_sparse(&ring_, kFileSlots) == 0;
  }

  ~UringBackend() override {
    if (open_) ::io_uring_queue_exit(&ring_);
  }

  int error() const { return error_; }
  std::string_view name() const override { return "io_uring"; }

  void register_file(int fd) override {
    if (!has_slots_ || slots_.size() == kFileSlots) return;
    const auto slot = static_cast<unsigned>(slots_.size());
    if (::io_uring_register_files_update(&ring_, slot, &fd, 1) == 1) slots_.push_back(fd);
  }

  void register_memory(std::span<std::byte> memory) override {
    if (memory_.empty() && ::io_uring_register_buffers_sparse(&ring_, kMemorySlots) != 0) return;
    while (!memory.empty() && memory_.size() < kMemorySlots) {
      const std::span<std::byte> part = memory.first(std::min(memory.size(), kMemoryPart));
      memory = memory.subspan(part.size());
      const iovec range{part.data(), part.size()};
      const auto slot = static_cast<unsigned>(memory_.size());
      // Refused for lack of memory that may be locked, for instance.
      if (::io_uring_register_buffers_update_tag(&ring_, slot, &range, nullptr, 1) != 1) return;
      memory_.push_back(part);
    }
  }

  void start(std::span<const ReadPiece> pieces) override {
    for (const ReadPiece& piece : pieces) {
      io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
      const auto slot = std::find(slots_.begin(), slots_.end(), piece.fd);
      const bool registered = slot != slots_.end();
      const int file = registered ? static_cast<int>(slot - slots_.begin()) : piece.fd;
      const auto part = std::find_if(memory_.begin(), memory_.end(), [&](const auto& memory) {
        return piece.data >= memory.data() &&
               piece.data + piece.bytes <= memory.data() + memory.size();
      });
      if (part == memory_.end()) {
        ::io_uring_prep_read(entry, file, piece.data, piece.bytes, piece.offset);
      } else {
        ::io_uring_prep_read_fixed(entry, file, piece.data, piece.bytes, piece.offset,
                                   static_cast<int>(part - memory_.begin()));
      }
      // What goes through the page cache may be copied on the spot, by the thread that submits:
      // let a thread of the kernel do that.
      entry->flags = static_cast<uint8_t>((registered ? IOSQE_FIXED_FILE : 0) |
                                          (piece.cached ? IOSQE_ASYNC : 0));
      ::io_uring_sqe_set_data64(entry, piece.tag);
    }
    submit();
  }

  void wait(SteadyTime until, std::vector<PieceResult>& done) override {
    io_uring_cqe* entry = nullptr;
    if (::io_uring_peek_cqe(&ring_, &entry) != 0) {
      const auto now = Clock::now();
      if (until <= now) return;
      const auto pause = std::chrono::nanoseconds(until - now).count();
      __kernel_timespec limit{pause / 1000000000, pause % 1000000000};
      if (::io_uring_wait_cqe_timeout(&ring_, &entry, &limit) != 0) return;  // late, or interrupted
    }
    unsigned head = 0, count = 0;
    io_uring_for_each_cqe(&ring_, head, entry) {
      ++count;
      if (entry->user_data == kWake) {
        woken_ = false;
      } else {
        done.push_back({static_cast<uint32_t>(entry->user_data), entry->res});
      }
    }
    ::io_uring_cq_advance(&ring_, count);
  }

  void wake() override {
    if (woken_.exchange(true)) return;
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    ::io_uring_prep_nop(entry);
    ::io_uring_sqe_set_data64(entry, kWake);
    submit();
  }

  void shutdown() override {
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    ::io_uring_prep_cancel64(entry, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    ::io_uring_sqe_set_data64(entry, kWake);
    submit();
  }

 private:
  // Some sandboxes let a ring be made and forbid its use. 0 or -errno.
  int try_out() {
    // Waiting with a deadline while others submit: Linux 5.11.
    if ((ring_.features & IORING_FEAT_EXT_ARG) == 0) return -ENOSYS;
    ::io_uring_prep_nop(::io_uring_get_sqe(&ring_));
    const int n = ::io_uring_submit(&ring_);
    if (n < 0) return n;
    io_uring_cqe* entry = nullptr;
    const int error = ::io_uring_wait_cqe(&ring_, &entry);
    if (error == 0) ::io_uring_cqe_seen(&ring_, entry);
    return error;
  }

  // The kernel may be short of memory for a moment. What it does not take even then stays in the
  // queue for the next call, and is late.
  void submit() {
    for (int attempt = 0; ::io_uring_sq_ready(&ring_) > 0 && attempt < kAttempts; ++attempt) {
      if (::io_uring_submit(&ring_) <= 0) std::this_thread::sleep_for(kPause);
    }
  }

  io_uring ring_{};
  bool open_ = false;
  int error_ = 0;
  bool has_slots_ = false;
  std::vector<int> slots_;                     // registered descriptors, by slot
  std::vector<std::span<std::byte> > memory_;  // registered, by slot
  std::atomic<bool> woken_{false};             // a wake is on its way
};

}  // namespace

std::unique_ptr<ReadBackend> make_uring_backend(int depth, std::string& reason) {
  auto backend = std::make_unique<UringBackend>(depth);
  if (backend->error() == 0) return backend;
  reason = std::strerror(-backend->error());
  return nullptr;
}

}  // namespace st

#endif
