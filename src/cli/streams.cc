#include "cli/streams.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "cli/interrupt.h"

namespace st {
namespace {

// Whether a line was begun and not ended; the thread that answers Ctrl-C prints too.
std::atomic<bool> g_out_in_line{false};
std::atomic<bool> g_err_in_line{false};

bool leaves_line_open(std::string_view text) {
  return !text.ends_with('\n') && !text.ends_with("\x1b[K");  // a line that was erased
}

void check_out(bool written) {
  if (written) return;
  const int error = errno;
  interrupt_stop().check();
  fail(ErrorCode::kIo, "cannot write to standard output: {}", std::strerror(error));
}

}  // namespace

std::string for_terminal(std::string_view text) {
  std::string out;
  while (true) {
    const size_t kept = text.find_first_of("\n\t");
    out += printable(text.substr(0, kept), SIZE_MAX);
    if (kept == text.npos) return out;
    out += text[kept];
    text.remove_prefix(kept + 1);
  }
}

void open_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number is this one, as those below are open.
    if (::open("/dev/null", O_RDWR) < 0) ::open("/", O_RDONLY);  // which cannot be written
  }
}

void write_err(std::string_view text) noexcept {
  if (text.empty()) return;
  std::fwrite(text.data(), 1, text.size(), stderr);
  g_err_in_line = leaves_line_open(text);
}

void format_err(fmt::string_view format, fmt::format_args args) noexcept {
  try {
    fmt::memory_buffer text;
    fmt::vformat_to(fmt::appender(text), format, args);
    write_err({text.data(), text.size()});
  } catch (const std::bad_alloc&) {  // a message of more than the 500 bytes on the stack
  }
}

void write_out(std::string_view text) {
  static const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  terminal ? write_out_raw(for_terminal(text)) : write_out_raw(text);
}

void write_out_raw(std::string_view text) {
  if (text.empty()) return;
  check_out(std::fwrite(text.data(), 1, text.size(), stdout) == text.size());
  g_out_in_line = leaves_line_open(text);
}

void flush_out() { check_out(std::fflush(stdout) == 0); }

void end_lines() noexcept {
  if (g_out_in_line.exchange(false)) std::fputc('\n', stdout);
  std::fflush(stdout);
  if (g_err_in_line) write_err("\n");
}

void end_err_line_at_once() noexcept {
  pollfd stream{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (!g_err_in_line || ::poll(&stream, 1, 0) != 1 || (stream.revents & POLLOUT) == 0) return;
  static_cast<void>(::write(STDERR_FILENO, "\n", 1));
}

}  // namespace st
