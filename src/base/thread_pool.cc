#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>

namespace st {
namespace {

// About 50 us on a 2020s core: longer than the gaps inside a forward pass, short enough not to
// starve anyone when there are more threads than CPUs.
constexpr int kSpins = 2000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  workers_.reserve(static_cast<size_t>(std::max(threads - 1, 0)));
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { worker(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& thread : workers_) thread.join();
}

void ThreadPool::run_erased(Function function, void* context) {
  if (!workers_.empty()) {
    function_ = function;
    context_ = context;
    unfinished_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
  }
  function(context, 0, threads());
  for (int spin = 0;; ++spin) {
    const int left = unfinished_.load(std::memory_order_acquire);
    if (left == 0) return;
    if (spin < kSpins) {
      relax();
    } else {
      unfinished_.wait(left, std::memory_order_acquire);
    }
  }
}

void ThreadPool::worker(int thread) {
  for (uint32_t seen = 0;;) {
    uint32_t now = epoch_.load(std::memory_order_acquire);
    for (int spin = 0; now == seen; ++spin) {
      if (spin < kSpins) {
        relax();
      } else {
        epoch_.wait(seen, std::memory_order_acquire);
      }
      now = epoch_.load(std::memory_order_acquire);
    }
    seen = now;
    if (stop_.load(std::memory_order_relaxed)) return;
    function_(context_, thread, threads());
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
  }
}

int default_threads() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace st
