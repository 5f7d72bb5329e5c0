#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/start_thread.h"
#include "io/read_backend.h"

namespace st {
namespace {

class PreadBackend final : public ReadBackend {
 public:
  explicit PreadBackend(int depth) { done_.reserve(static_cast<size_t>(depth)); }

  ~PreadBackend() override {
    shutdown();
    for (std::thread& thread : threads_) thread.join();
  }

  // One there must be, fewer than `threads` will do.
  void begin(int threads) {
    const auto body = [this] { work(); };
    threads_.reserve(static_cast<size_t>(threads));
    threads_.push_back(start_thread("reads the file", body));
    try {
      while (std::ssize(threads_) < threads) threads_.push_back(start_any_thread(body));
    } catch (const std::system_error&) {
    }
  }

  std::string_view name() const override { return "pread"; }

  void start(std::span<const ReadPiece> pieces) override {
    const std::lock_guard lock(mutex_);
    for (const ReadPiece& piece : pieces) {
      queue_.push_back(piece);
      work_.notify_one();
    }
  }

  void wait(SteadyTime until, std::vector<PieceResult>& done) override {
    std::unique_lock lock(mutex_);
    something_.wait_until(lock, until, [&] { return woken_ || !done_.empty(); });
    woken_ = false;
    done.insert(done.end(), done_.begin(), done_.end());
    done_.clear();
  }

  void wake() override {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    something_.notify_one();
  }

  void shutdown() override {
    const std::lock_guard lock(mutex_);
    for (const ReadPiece& piece : queue_) done_.push_back({piece.tag, -ECANCELED});
    queue_.clear();
    stop_ = true;
    work_.notify_all();
    something_.notify_one();
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [&] { return stop_ || !queue_.empty(); });
      if (queue_.empty()) return;
      const ReadPiece piece = queue_.front();
      queue_.pop_front();
      lock.unlock();
      const PieceResult result = read(piece);
      lock.lock();
      done_.push_back(result);
      something_.notify_one();
    }
  }

  static PieceResult read(const ReadPiece& piece) {
    const ssize_t n = ::pread(piece.fd, piece.data, piece.bytes, static_cast<off_t>(piece.offset));
    return {piece.tag, static_cast<int32_t>(n < 0 ? -errno : n)};
  }

  std::mutex mutex_;                   // guards all below
  std::condition_variable work_;       // queue_ or stop_ changed
  std::condition_variable something_;  // done_ or woken_ changed
  std::deque<ReadPiece> queue_;
  std::vector<PieceResult> done_;
  bool woken_ = false;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<ReadBackend> make_pread_backend(int depth, int threads) {
  auto backend = std::make_unique<PreadBackend>(depth);
  backend->begin(threads);
  return backend;
}

}  // namespace st
