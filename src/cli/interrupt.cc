#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/start_thread.h"
#include "cli/args.h"

namespace st {
namespace {

Stop g_stop;
std::atomic<bool> g_exit_at_once{false};

extern "C" void on_interrupt(int) {
  if (g_stop.requested() || g_exit_at_once) ::_exit(kExitInterrupted);
  g_stop.request();
}

}  // namespace

void install_interrupt_handler() {
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // a read from a terminal or pipe must end, not start again
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

void exit_when_interrupted() {
  g_exit_at_once = true;
  g_stop.check();
}

const Stop& interrupt_stop() { return g_stop; }

OnInterrupt::OnInterrupt(std::function<void()> last_words)
    : thread_([this, last_words = std::move(last_words)] {
        constexpr std::chrono::milliseconds kPause{100};
        constexpr int kPatience = 15;  // pauses
        std::unique_lock lock(mutex_);
        for (int tried = 0; !changed_.wait_for(lock, kPause, [this] { return over_; });) {
          if (!g_stop.requested()) continue;
          if (++tried <= kPatience) continue;
          if (last_words) last_words();
          ::_exit(kExitInterrupted);
        }
      }) {}

OnInterrupt::~OnInterrupt() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

}  // namespace st
