#include "cli/interrupt.h"

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <system_error>
#include <utility>

#include "base/start_thread.h"
#include "base/temporary_files.h"
#include "cli/args.h"
#include "cli/streams.h"

namespace st {
namespace {

// How long work may take to stop: a read that is given up takes about a second.
constexpr std::chrono::milliseconds kPatience{1500};
// The same where nobody is there to say last words, or they do not come to an end.
constexpr std::chrono::microseconds kLimit{1'800'000};

Stop g_stop;
std::atomic<bool> g_graceful{false};

// May be called by a signal handler.
[[noreturn]] void end_at_once() {
  remove_temporaries();
  end_err_line_at_once();
  ::_exit(kExitInterrupted);
}

extern "C" void on_signal(int) {
  if (!g_graceful || g_stop.requested()) end_at_once();
  g_stop.request();
  // Not for the work alone: also what comes after it may wait, for a reader of standard output.
  const timeval limit{.tv_sec = kLimit.count() / 1'000'000, .tv_usec = kLimit.count() % 1'000'000};
  const itimerval once{.it_interval = {}, .it_value = limit};
  ::setitimer(ITIMER_REAL, &once, nullptr);
}

extern "C" void on_limit(int) { end_at_once(); }

void handle(int signal, void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // writing to a terminal or pipe must end, not start again
  ::sigaction(signal, &action, nullptr);
}

bool is_ignored(int signal) {
  struct sigaction action{};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

void install_signal_handlers() {
  handle(SIGALRM, on_limit);
  handle(SIGINT, on_signal);
  handle(SIGTERM, on_signal);
  if (!is_ignored(SIGHUP)) handle(SIGHUP, on_signal);
  handle(SIGPIPE, SIG_IGN);
  handle(SIGXFSZ, SIG_IGN);
}

const Stop& interrupt_stop() { return g_stop; }

GracefulStop::GracefulStop(std::function<void()> last_words) : last_words_(std::move(last_words)) {
  if (last_words_) {
    try {
      thread_ = start_any_thread([this] { watch(); });
    } catch (const std::system_error&) {  // no thread to be had: it ends without them
    }
  }
  g_graceful = true;
}

GracefulStop::~GracefulStop() {
  g_graceful = false;
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void GracefulStop::watch() {
  std::chrono::milliseconds waited{0};
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, Stop::kLook, [this] { return over_; })) {
    if (!g_stop.requested()) continue;
    if ((waited += Stop::kLook) <= kPatience) continue;
    last_words_();
    end_at_once();
  }
}

}  // namespace st
