// Threads, begun in one way everywhere: a system may refuse (ulimit -u, pids.max, no address space
// for a stack).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

#include "base/error.h"

namespace st {

// Begins a thread or throws std::system_error; a parameter of who can do with fewer, so that tests
// can refuse.
using StartThread = std::function<std::thread(std::function<void()> body)>;
inline std::thread start_any_thread(std::function<void()> body) {
  return std::thread(std::move(body));
}

inline std::string why_refused(const std::system_error& e) { return e.code().message(); }

// For a thread that there must be: throws Error(kIo), "cannot start the thread that ...: why".
inline std::thread start_thread(std::string_view that, std::function<void()> body,
                                const StartThread& start = start_any_thread) {
  try {
    return start(std::move(body));
  } catch (const std::system_error& e) {
    fail(ErrorCode::kIo,
         "cannot start the thread that {}: {}; ask for fewer threads with -t, or raise their limit "
         "(ulimit -u, pids.max, TasksMax)",
         that, why_refused(e));
  }
}

}  // namespace st
