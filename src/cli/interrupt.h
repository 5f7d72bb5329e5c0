// Ctrl-C: the first one asks the work to stop, the second ends the process at once.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace st {

void install_interrupt_handler();
// From now on also the first one ends the process at once; for work that leaves nothing to finish.
void exit_when_interrupted();
bool interrupted();
// Throws Error(kCancelled) if interrupted; for progress callbacks of long work.
void throw_if_interrupted();

// From the first Ctrl-C on calls `cancel` ten times a second, in a thread of its own: for work that
// waits for somebody else, and may begin to wait again. If that has not ended it in a second and a
// half (one row of the embedding is read without a way back), calls `last_words` and ends the
// process.
class OnInterrupt {
 public:
  explicit OnInterrupt(std::function<void()> cancel, std::function<void()> last_words = {});
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
