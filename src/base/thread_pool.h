// A fork-join pool: one owner calls run(), every thread executes the same function, run() returns
// when all have finished. Workers spin briefly between calls (a forward pass makes hundreds), then
// sleep, so an idle engine costs nothing.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

namespace st {

class ThreadPool {
 public:
  // `threads` >= 1 counts the calling thread: a pool of 1 starts no workers.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(thread, threads) once on each thread. Not reentrant; one caller at a time. `body`
  // must not throw.
  template <typename Body>
  void run(Body&& body) {
    using Raw = std::remove_reference_t<Body>;
    run_erased(
        [](void* context, int thread, int count) { (*static_cast<Raw*>(context))(thread, count); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

  // Cuts [0, items) into ranges that begin at multiples of `grain` and calls body(begin, end) for
  // each; threads take them in order as they become free, a few each. `work`, in multiply-adds or
  // the like, tells whether waking the others is worth it at all.
  template <typename Body>
  void parallel_for(int64_t items, int64_t grain, Body&& body, int64_t work = INT64_MAX) {
    if (threads() == 1 || items <= grain || work < kWorthSharing) {
      if (items > 0) body(int64_t{0}, items);
      return;
    }
    const int64_t units = (items + grain - 1) / grain;
    const int64_t size = std::max<int64_t>(1, units / (threads() * kRanges)) * grain;
    next_.store(0, std::memory_order_relaxed);
    run([&](int, int) {
      for (;;) {
        const int64_t begin = next_.fetch_add(size, std::memory_order_relaxed);
        if (begin >= items) return;
        body(begin, std::min(items, begin + size));
      }
    });
  }

  // About 10 us of arithmetic on one core: less is done sooner than it is handed out, and on a busy
  // machine a worker may not be running at all.
  static constexpr int64_t kWorthSharing = int64_t{1} << 18;

 private:
  static constexpr int64_t kRanges = 8;  // per thread: the last one to finish is not far behind

  using Function = void (*)(void* context, int thread, int threads);
  void run_erased(Function function, void* context);
  void worker(int thread);

  std::vector<std::thread> workers_;
  Function function_ = nullptr;
  void* context_ = nullptr;
  alignas(64) std::atomic<uint32_t> epoch_{0};  // counts run() calls; odd-even does not matter
  alignas(64) std::atomic<int64_t> next_{0};    // first item not taken, in parallel_for()
  alignas(64) std::atomic<int> unfinished_{0};  // workers still inside the current run()
  std::atomic<bool> stop_{false};
};

// Threads worth using on this machine: the CPUs this process may run on.
int default_threads();

}  // namespace st
