// The terminal that somebody sits at: its size, what it understands, and its modes, which are put
// back on every way out of the process.
#pragma once

#include <cstdint>

namespace st {

struct TerminalSize {
  int columns = 80;
  int rows = 24;
};
// Of the terminal behind a descriptor; 80 x 24 if it does not say.
TerminalSize terminal_size(int fd);

// Whether there is a terminal that understands more than text: TERM is set, and not "dumb".
bool has_sequences(int fd);

enum class ColorChoice : uint8_t { kAuto, kOn, kOff };
// Auto: on such a terminal, unless the environment has NO_COLOR.
bool shows_color(int fd, ColorChoice choice);

// While it lives, standard input is a terminal whose modes somebody changes: pasted text comes in
// brackets, and Ctrl-Z, signals and the end of the object put everything back. One at a time.
class TerminalModes {
 public:
  // `paste`: a descriptor of the terminal that is asked for brackets; -1: it understands none.
  explicit TerminalModes(int paste);
  ~TerminalModes();
  TerminalModes(const TerminalModes&) = delete;
  TerminalModes& operator=(const TerminalModes&) = delete;

  // As they were at first, for another program, and back.
  void lend();
  void take_back();
};

// What a signal handler that ends the process calls.
void restore_terminal_at_once() noexcept;

// While it lives, what is typed is kept for later and not shown; Ctrl-C remains a signal.
class QuietKeys {
 public:
  QuietKeys();
  ~QuietKeys();
  QuietKeys(const QuietKeys&) = delete;
  QuietKeys& operator=(const QuietKeys&) = delete;
};

// Stops the process group as Ctrl-Z does, with the modes as they were at first meanwhile.
void suspend_process();

}  // namespace st
