// A fork-join pool: one owner calls run(), the threads share the work, run() returns when it is
// done. Workers spin briefly between calls (a forward pass makes hundreds), then sleep, so an idle
// engine costs nothing.
//
// Nobody ever waits for a thread that has not begun: a worker that the system has not got round to
// running, because it sleeps or because others want the CPU, misses that call, and those who came
// do its share. So more threads than CPUs, or a busy machine, make the pool slower only by what is
// really taken away.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/start_thread.h"
#include "base/thread_choice.h"

namespace st {

class ThreadPool {
 public:
  // `threads` counts the calling thread: a pool of 1 starts no workers. 0: as choose_threads()
  // says.
  explicit ThreadPool(int threads);
  // Workers stay on the CPUs of the choice. The caller's thread is not ours, and its mask would
  // pass to every thread it starts, so it is left alone; it computes as much as it gets round to.
  // Where the system gives fewer threads, the pool makes do with them and has a notice.
  explicit ThreadPool(const ThreadChoice& choice, const StartThread& start = start_any_thread);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }
  // "cannot start thread 3 of 8: Resource temporarily unavailable; running with 2"; empty: all are
  // there.
  const std::string& notice() const { return notice_; }
  // How often the workers were called so far, modulo 2^32: each time costs some microseconds.
  uint32_t calls() const { return epoch_.load(std::memory_order_relaxed); }

  // Calls body(thread, threads) on the calling thread, as thread 0, and on every worker that comes
  // before that call has returned; waits for those who came. So the caller must be able to do all
  // of the work: `body` takes it piece by piece, from a counter, until there is none. A worker may
  // come twice, but not twice at once. Not reentrant; one caller at a time. When `body` throws, on
  // whichever thread, run() throws the first of these exceptions once all who came are done.
  template <typename Body>
  void run(Body&& body) {
    using Raw = std::remove_reference_t<Body>;
    run_erased(
        [](void* context, int thread, int count) { (*static_cast<Raw*>(context))(thread, count); },
        address(body));
  }

  // Whether a call of the current run()'s body has thrown: what it has left to do is not wanted.
  bool failed() const { return failed_.load(std::memory_order_relaxed); }

  // Cuts [0, items) into ranges that begin at multiples of `grain` and calls body(begin, end), or
  // body(begin, end, thread) if it takes that, for each. Every thread has a share and takes it from
  // the front to the back, a few ranges, so what it reads is one run of memory; then it helps the
  // others. `work`, in multiply-adds or the like, tells whether waking the others is worth it at
  // all. After an exception no range is begun.
  template <typename Body>
  void parallel_for(int64_t items, int64_t grain, Body&& body, int64_t work = INT64_MAX) {
    share_out(items, grain, threads(), {call_range<Body>, address(body)}, work);
  }

  // The same, but all take from one share: what comes first is begun first.
  template <typename Body>
  void parallel_in_order(int64_t items, int64_t grain, Body&& body, int64_t work = INT64_MAX) {
    share_out(items, grain, 1, {call_range<Body>, address(body)}, work);
  }

  // About 10 us of arithmetic on one core: less is done sooner than it is handed out, and on a busy
  // machine a worker may not be running at all.
  static constexpr int64_t kWorthSharing = int64_t{1} << 18;

 private:
  static constexpr int64_t kRanges = 8;  // per thread: the last one to finish is not far behind

  struct Share {
    alignas(64) std::atomic<int64_t> next;  // first item not taken
    int64_t end;
  };

  // A body without its type, so that what runs it is compiled once.
  struct Ranges {
    void (*call)(void* body, int64_t begin, int64_t end, int thread);
    void* body;
  };
  void share_out(int64_t items, int64_t grain, int64_t shares, const Ranges& ranges, int64_t work);

  template <typename Body>
  static void call_range(void* context, int64_t begin, int64_t end, int thread) {
    auto& body = *static_cast<std::remove_reference_t<Body>*>(context);
    if constexpr (std::is_invocable_v<decltype(body), int64_t, int64_t, int>) {
      body(begin, end, thread);
    } else {
      body(begin, end);
    }
  }

  template <typename Body>
  static void* address(Body& body) {
    return const_cast<void*>(static_cast<const void*>(&body));
  }

  struct NoWorkersYet {};
  ThreadPool(const ThreadChoice& choice, NoWorkersYet);
  using Function = void (*)(void* context, int thread, int threads);
  void run_erased(Function function, void* context);
  void worker(int thread);
  bool enter();
  void call(int thread) noexcept;

  std::vector<std::thread> workers_;
  std::string notice_;
  std::vector<int> cpus_;  // where workers stay; empty: anywhere
  bool spin_ = true;
  Function function_ = nullptr;  // these two are read by workers that are inside only
  void* context_ = nullptr;
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;                    // of the call that set failed_
  alignas(64) std::atomic<uint32_t> epoch_{0};  // counts run() calls: what workers wait for
  // Workers inside run(), plus kOpen while one may enter.
  alignas(64) std::atomic<uint32_t> gate_{0};
  std::vector<Share> shares_;  // one per thread
  std::atomic<bool> stop_{false};
};

}  // namespace st
