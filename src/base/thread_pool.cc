#include "base/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/float_mode.h"
#include "base/round.h"

namespace st {
namespace {

constexpr uint32_t kOpen = uint32_t{1} << 31;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");  // "yield" does nothing on most cores; this takes a few dozen cycles
#endif
}

// How long it is worth to spin: longer than the gaps inside a forward pass, short enough not to
// starve anyone.
constexpr auto kSpinning = std::chrono::microseconds(50);

class Spinner {
 public:
  explicit Spinner(bool spin) : spin_(spin) {}

  // Waits for a moment; false when it is time to sleep.
  bool spin() {
    if (!spin_) return false;
    relax();
    if (++rounds_ % 64 != 0) return true;
    const auto now = std::chrono::steady_clock::now();
    if (rounds_ == 64) start_ = now;
    spin_ = now - start_ < kSpinning;
    return true;
  }

 private:
  bool spin_;
  int rounds_ = 0;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace

// One thread has no workers to find a place for.
ThreadPool::ThreadPool(int threads)
    : ThreadPool(threads == 1 ? ThreadChoice{} : choose_threads(threads)) {}

ThreadPool::ThreadPool(const ThreadChoice& choice, NoWorkersYet)
    : cpus_(choice.cpus),
      spin_(!choice.crowded),
      shares_(static_cast<size_t>(std::max(choice.threads, 1))) {
  workers_.reserve(shares_.size() - 1);
}

// The pool is whole before the first worker begins, so that its destructor ends them if this
// throws.
ThreadPool::ThreadPool(const ThreadChoice& choice, const StartThread& start)
    : ThreadPool(choice, NoWorkersYet{}) {
  try {
    for (int i = 1; i < choice.threads; ++i) workers_.push_back(start([this, i] { worker(i); }));
  } catch (const std::system_error& e) {
    notice_ = fmt::format("cannot start thread {} of {}: {}; running with {}", threads() + 1,
                          choice.threads, why_refused(e), threads());
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& thread : workers_) thread.join();
}

void ThreadPool::share_out(int64_t items, int64_t grain, int64_t shares, const Ranges& ranges,
                           int64_t work) {
  if (threads() == 1 || items <= grain || work < kWorthSharing) {
    if (items > 0) ranges.call(ranges.body, 0, items, 0);
    return;
  }
  const int64_t units = div_up(items, grain);
  const int64_t size = std::max<int64_t>(1, units / (threads() * kRanges)) * grain;
  const auto border = [&](int64_t share) {
    return std::min(items, share * units / shares * grain);
  };
  for (int64_t i = 0; i < shares; ++i) {
    Share& share = shares_[static_cast<size_t>(i)];
    share.next.store(border(i), std::memory_order_relaxed);
    share.end = border(i + 1);
  }
  run([&](int thread, int) {
    for (int64_t i = 0; i < shares; ++i) {
      Share& share = shares_[static_cast<size_t>((thread + i) % shares)];
      while (!failed()) {
        const int64_t begin = share.next.fetch_add(size, std::memory_order_relaxed);
        if (begin >= share.end) break;
        ranges.call(ranges.body, begin, std::min(share.end, begin + size), thread);
      }
    }
  });
}

void ThreadPool::run_erased(Function function, void* context) {
  if (workers_.empty()) return function(context, 0, 1);
  function_ = function;
  context_ = context;
  gate_.store(kOpen, std::memory_order_release);  // nobody is inside: the last run waited for that
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  call(0);
  uint32_t inside = gate_.fetch_sub(kOpen, std::memory_order_acq_rel) - kOpen;
  for (Spinner spinner(spin_); inside != 0; inside = gate_.load(std::memory_order_acquire)) {
    if (!spinner.spin()) gate_.wait(inside, std::memory_order_acquire);
  }
  if (!failed()) return;
  failed_ = false;
  std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::call(int thread) noexcept {
  try {
    function_(context_, thread, threads());
  } catch (...) {
    if (!failed_.exchange(true)) error_ = std::current_exception();
  }
}

bool ThreadPool::enter() {
  uint32_t gate = gate_.load(std::memory_order_relaxed);
  while (gate & kOpen) {
    if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire,
                                    std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void ThreadPool::worker(int thread) {
  const DefaultFloatMode floats;
  stay_on(cpus_);
  for (uint32_t seen = 0;;) {
    uint32_t now = epoch_.load(std::memory_order_acquire);
    for (Spinner spinner(spin_); now == seen; now = epoch_.load(std::memory_order_acquire)) {
      if (!spinner.spin()) epoch_.wait(seen, std::memory_order_acquire);
    }
    seen = now;
    if (stop_.load(std::memory_order_relaxed)) return;
    if (!enter()) continue;  // too late
    call(thread);
    if (gate_.fetch_sub(1, std::memory_order_acq_rel) == 1) gate_.notify_one();
  }
}

}  // namespace st
