// Ctrl-C, and the other signals that ask a command to end: SIGTERM, and SIGHUP where nohup does not
// have it ignored. The exit code is 130, and no temporary file stays.
#pragma once

#include <condition_variable>
#include <deque>
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

// For who goes on after Ctrl-C: while it lives that signal requests the stop of the work at hand.
// Where there is none it waits to be taken; a second one ends the process at once if the work has
// not ended within two seconds. The other signals request interrupt_stop() as well, or end the
// process at once where no work is at hand. One at a time, and no GracefulStop beside it.
class TakenInterrupts {
 public:
  TakenInterrupts();
  ~TakenInterrupts();
  TakenInterrupts(const TakenInterrupts&) = delete;
  TakenInterrupts& operator=(const TakenInterrupts&) = delete;

  // Readable while there is something to take.
  int fd() const;
  struct Taken {
    bool interrupt = false;  // Ctrl-C
    bool redraw = false;     // the window has another size, or the process was stopped for a while
  };
  Taken take();

 private:
  friend class StoppableWork;
  std::deque<Stop> stops_;  // all of them, as a handler in another thread may still have one
};

// A piece of work that Ctrl-C stops.
class StoppableWork {
 public:
  explicit StoppableWork(TakenInterrupts& interrupts);
  ~StoppableWork();
  StoppableWork(const StoppableWork&) = delete;
  StoppableWork& operator=(const StoppableWork&) = delete;

  const Stop& stop() const { return stop_; }

 private:
  Stop& stop_;
};

}  // namespace st
