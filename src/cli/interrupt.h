// Ctrl-C, and the other signals that ask a command to end: SIGTERM, and SIGHUP where nohup does not
// have it ignored. The exit code is 130, and no temporary file stays.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "base/stop.h"

namespace st {

// From now on such a signal ends the process at once, and what cannot be written is an error
// instead of a signal of its own (SIGPIPE, SIGXFSZ).
void install_signal_handlers();

// Requested by the first signal that comes while there is a GracefulStop.
const Stop& interrupt_stop();

// While it lives the first signal requests interrupt_stop(), for work that looks at it and has
// something left to do or to say. The second one ends the process at once; so does a moment without
// any, as what the work waits for may never come.
class GracefulStop {
 public:
  // `last_words` are called, in a thread of their own, if the process ends because of that.
  explicit GracefulStop(std::function<void()> last_words = {});
  ~GracefulStop();
  GracefulStop(const GracefulStop&) = delete;
  GracefulStop& operator=(const GracefulStop&) = delete;

 private:
  void watch();

  const std::function<void()> last_words_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace st
