#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/error.h"
#include "store/read_backend.h"

namespace st {
namespace {

class PreadBackend final : public ReadBackend {
 public:
  PreadBackend(int depth, int threads) {
    done_.reserve(static_cast<size_t>(depth));
    try {
      for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
    } catch (const std::system_error& e) {
      // Fewer will do.
      if (threads_.empty()) fail(ErrorCode::kIo, "cannot start a reading thread: {}", e.what());
    }
  }

  ~PreadBackend() override {
    shutdown();
    for (std::thread& thread : threads_) thread.join();
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
  return std::make_unique<PreadBackend>(depth, threads);
}

}  // namespace st
