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

std::atomic<bool> g_interrupted{false};
std::atomic<bool> g_exit_at_once{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // usable in a signal handler

extern "C" void on_interrupt(int) {
  if (g_interrupted.exchange(true) || g_exit_at_once) ::_exit(kExitInterrupted);
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
  throw_if_interrupted();
}

bool interrupted() { return g_interrupted.load(std::memory_order_relaxed); }

void throw_if_interrupted() {
  if (interrupted()) fail(ErrorCode::kCancelled, "interrupted");
}

OnInterrupt::OnInterrupt(std::function<void()> cancel, std::function<void()> last_words)
    : thread_(start_thread(
          "answers Ctrl-C", [this, cancel = std::move(cancel), last_words = std::move(last_words)] {
            constexpr std::chrono::milliseconds kPause{100};
            constexpr int kPatience = 15;  // pauses
            std::unique_lock lock(mutex_);
            for (int tried = 0; !changed_.wait_for(lock, kPause, [this] { return over_; });) {
              if (!interrupted()) continue;
              cancel();
              if (++tried <= kPatience) continue;
              if (last_words) last_words();
              ::_exit(kExitInterrupted);
            }
          })) {}

OnInterrupt::~OnInterrupt() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

}  // namespace st
