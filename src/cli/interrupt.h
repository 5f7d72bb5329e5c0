// Ctrl-C: the first one asks the work to stop, the second ends the process at once.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "base/stop.h"

namespace st {

void install_interrupt_handler();
// From now on also the first one ends the process at once; for work that leaves nothing to finish.
void exit_when_interrupted();
// Requested by the first Ctrl-C.
const Stop& interrupt_stop();

// For work that waits for somebody else: if the first Ctrl-C has not ended it in a second and a
// half (one row of the embedding is read without a way back), calls `last_words`, in a thread of
// its own, and ends the process.
class OnInterrupt {
 public:
  explicit OnInterrupt(std::function<void()> last_words = {});
  ~OnInterrupt();
  OnInterrupt(const OnInterrupt&) = delete;
  OnInterrupt& operator=(const OnInterrupt&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace st
