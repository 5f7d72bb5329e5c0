#include "cli/interrupt.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include "base/start_thread.h"
#include "base/temporary_files.h"
#include "cli/args.h"
#include "cli/streams.h"
#include "cli/terminal/terminal.h"

namespace st {
namespace {

// How long work may take to stop: a read that is given up takes about a second.
constexpr std::chrono::milliseconds kPatience{1500};
// The same where nobody is there to say last words, or they do not come to an end.
constexpr std::chrono::microseconds kLimit{1'800'000};

Stop g_stop;
std::atomic<bool> g_graceful{false};

// Of TakenInterrupts: -1, there is none.
std::atomic<int> g_taken_fd{-1};
std::atomic<Stop*> g_work{nullptr};
std::atomic<int64_t> g_stopped_at{0};  // seconds, when the work was first asked to stop
std::atomic<bool> g_interrupt{false}, g_redraw{false};
constexpr int64_t kEndOfPatience = 2;  // seconds

// May be called by a signal handler.
[[noreturn]] void end_at_once() {
  remove_temporaries();
  end_err_line_at_once();
  restore_terminal_at_once();
  ::_exit(kExitInterrupted);
}

int64_t seconds_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

void wake_who_takes() {
  const uint64_t one = 1;
  if (const int fd = g_taken_fd; fd >= 0) static_cast<void>(!::write(fd, &one, sizeof(one)));
}

void stop_work(Stop& work) {
  if (!work.requested()) {
    g_stopped_at = seconds_now();
  } else if (seconds_now() - g_stopped_at >= kEndOfPatience) {
    end_at_once();
  }
  work.request();
}

extern "C" void on_signal(int signal) {
  Stop* const work = g_work;
  if (work) stop_work(*work);
  if (g_taken_fd >= 0 && signal == SIGINT) {
    if (work) return;
    g_interrupt = true;
    wake_who_takes();
    return;
  }
  if (!(g_graceful || work) || g_stop.requested()) end_at_once();
  g_stop.request();
  // Not for the work alone: also what comes after it may wait, for a reader of standard output.
  const timeval limit{.tv_sec = kLimit.count() / 1'000'000, .tv_usec = kLimit.count() % 1'000'000};
  const itimerval once{.it_interval = {}, .it_value = limit};
  ::setitimer(ITIMER_REAL, &once, nullptr);
}

extern "C" void on_limit(int) { end_at_once(); }

extern "C" void on_redraw(int) {
  const int error = errno;
  g_redraw = true;
  wake_who_takes();
  errno = error;
}

void handle(int signal, void (*handler)(int), int flags = 0) {
  struct sigaction action{};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = flags;
  ::sigaction(signal, &action, nullptr);
}

bool is_ignored(int signal) {
  struct sigaction action{};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

void install_signal_handlers() {
  // Without SA_RESTART: writing to a terminal or pipe must end, not start again.
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

TakenInterrupts::TakenInterrupts() {
  g_taken_fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  handle(SIGINT, on_signal, SA_RESTART);
  handle(SIGWINCH, on_redraw, SA_RESTART);
  handle(SIGCONT, on_redraw, SA_RESTART);
}

TakenInterrupts::~TakenInterrupts() {
  handle(SIGINT, on_signal);
  handle(SIGWINCH, SIG_DFL);
  handle(SIGCONT, SIG_DFL);
  ::close(g_taken_fd.exchange(-1));
}

int TakenInterrupts::fd() const { return g_taken_fd; }

TakenInterrupts::Taken TakenInterrupts::take() {
  uint64_t many = 0;
  static_cast<void>(!::read(g_taken_fd, &many, sizeof(many)));
  return {.interrupt = g_interrupt.exchange(false), .redraw = g_redraw.exchange(false)};
}

StoppableWork::StoppableWork(TakenInterrupts& interrupts)
    : stop_(interrupts.stops_.emplace_back()) {
  g_work = &stop_;
}

StoppableWork::~StoppableWork() { g_work = nullptr; }

}  // namespace st
