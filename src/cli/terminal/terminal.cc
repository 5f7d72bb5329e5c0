#include "cli/terminal/terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string_view>

namespace st {
namespace {

// Changed only while g_kept is false, or g_quiet, so that a handler reads nothing half written.
termios g_first;                   // modes at first
termios g_quiet_modes;             // those of QuietKeys
std::atomic<bool> g_kept{false};   // g_first holds them, and they may have been changed
std::atomic<bool> g_quiet{false};  // g_quiet_modes holds what is to be
std::atomic<int> g_paste{-1};      // the terminal that was asked for brackets

constexpr std::string_view kBracketsOn = "\x1b[?2004h";
constexpr std::string_view kBracketsOff = "\x1b[?2004l\x1b[0m";  // and no colour

// What follows may be called by a signal handler.

void tell_terminal(std::string_view sequence) {
  if (const int fd = g_paste; fd >= 0) {
    static_cast<void>(!::write(fd, sequence.data(), sequence.size()));
  }
}

void set_modes(const termios& modes) {
  while (::tcsetattr(STDIN_FILENO, TCSADRAIN, &modes) != 0 && errno == EINTR) {
  }
}

extern "C" void on_suspend(int) {
  const int error = errno;
  restore_terminal_at_once();
  ::raise(SIGSTOP);  // goes on here
  tell_terminal(kBracketsOn);
  if (g_quiet) set_modes(g_quiet_modes);
  errno = error;
}

extern "C" void on_quit(int signal) {
  restore_terminal_at_once();
  ::raise(signal);  // whose handler was reset
}

void handle(int signal, void (*handler)(int), int flags) {
  struct sigaction action{};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = flags;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

TerminalSize terminal_size(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

bool has_sequences(int fd) {
  const char* term = std::getenv("TERM");
  return ::isatty(fd) != 0 && term && *term != 0 && std::string_view(term) != "dumb";
}

bool shows_color(int fd, ColorChoice choice) {
  if (choice != ColorChoice::kAuto) return choice == ColorChoice::kOn;
  const char* refused = std::getenv("NO_COLOR");  // https://no-color.org: set, and not empty
  return has_sequences(fd) && (!refused || *refused == 0);
}

TerminalModes::TerminalModes(int paste) {
  if (::tcgetattr(STDIN_FILENO, &g_first) == 0) g_kept = true;
  g_paste = paste;
  tell_terminal(kBracketsOn);
  handle(SIGTSTP, on_suspend, SA_RESTART);
  handle(SIGQUIT, on_quit, static_cast<int>(SA_RESETHAND));
}

TerminalModes::~TerminalModes() {
  lend();
  handle(SIGTSTP, SIG_DFL, 0);
  handle(SIGQUIT, SIG_DFL, 0);
  g_kept = false;
  g_paste = -1;
}

void TerminalModes::lend() { restore_terminal_at_once(); }
void TerminalModes::take_back() { tell_terminal(kBracketsOn); }

void restore_terminal_at_once() noexcept {
  if (g_kept) set_modes(g_first);
  tell_terminal(kBracketsOff);
}

QuietKeys::QuietKeys() {
  if (!g_kept) return;
  g_quiet_modes = g_first;
  g_quiet_modes.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON);
  g_quiet_modes.c_cc[VQUIT] = _POSIX_VDISABLE;
  g_quiet_modes.c_cc[VMIN] = 1;
  g_quiet_modes.c_cc[VTIME] = 0;
  g_quiet = true;
  set_modes(g_quiet_modes);
}

QuietKeys::~QuietKeys() {
  if (!g_quiet.exchange(false)) return;
  set_modes(g_first);
}

void suspend_process() { ::kill(0, SIGTSTP); }

}  // namespace st
