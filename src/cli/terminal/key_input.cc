#include "cli/terminal/key_input.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace st {

KeyInput::Event KeyInput::next(char& byte) {
  while (at_ == end_) {
    pollfd sources[] = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                        {.fd = interrupts_.fd(), .events = POLLIN, .revents = 0}};
    if (::poll(sources, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return Event::kEnd;
    }
    if (sources[1].revents != 0) {
      const TakenInterrupts::Taken taken = interrupts_.take();
      if (taken.interrupt) return Event::kInterrupt;
      if (taken.redraw) return Event::kRedraw;
    }
    if (sources[0].revents == 0) continue;
    const ssize_t n = ::read(STDIN_FILENO, buffer_, sizeof(buffer_));
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return Event::kEnd;
    at_ = 0;
    end_ = static_cast<size_t>(n);
  }
  byte = buffer_[at_++];
  return Event::kByte;
}

}  // namespace st
