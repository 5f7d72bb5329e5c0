// How work that takes long is asked to stop, and tells how far it is.
//
//   Stop stop;                            // of one request; others have their own
//   engine.evaluate(batch, stop);         // one thread; throws Error(kCancelled) soon after ...
//   stop.request();                       // ... this, in another thread or a signal handler
//
// Whoever works looks often enough to answer within half a second on a slow machine: between layers
// and between the pieces that threads take, and ten times a second while it waits for a device.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

#include "base/error.h"

namespace st {

class Stop {
 public:
  // The one that nobody requests.
  static const Stop& never() {
    static const Stop stop;
    return stop;
  }
  // Who sleeps looks again after so long.
  static constexpr std::chrono::milliseconds kLook{100};

  Stop() = default;
  Stop(const Stop&) = delete;
  Stop& operator=(const Stop&) = delete;

  // From any thread and any signal handler. There is no way back: what comes next has a new Stop.
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }
  bool requested() const noexcept { return requested_.load(std::memory_order_relaxed); }
  // Throws Error(kCancelled) if it was requested.
  void check() const {
    if (requested()) fail(ErrorCode::kCancelled, "interrupted");
  }

 private:
  std::atomic<bool> requested_{false};
  static_assert(std::atomic<bool>::is_always_lock_free);  // a signal handler may use it
};

// How far work is; drawing that is the command line's business. Called with the name of the stage
// and the bytes done of the bytes expected; from one thread only. May be empty. May throw
// Error(kCancelled) to stop the work.
using Progress = std::function<void(std::string_view stage, uint64_t done, uint64_t total)>;

}  // namespace st
