// Where what a chat says is shown. Answers go to standard output; all else goes there too if it is
// a terminal, otherwise to standard error. Only terminals get colours and lines that end between
// words, and bytes that would command them are shown to them as \xNN.
#pragma once

#include <string>
#include <string_view>

#include "cli/terminal/terminal.h"
#include "cli/terminal/word_wrap.h"

namespace st {

class ChatScreen {
 public:
  // `end`: what ends an answer for a program that reads it.
  explicit ChatScreen(ColorChoice color, char end = '\n');

  // More of an answer, or of what the model thinks before it.
  void answer(std::string_view text);
  void reasoning(std::string_view text);
  // Nothing follows: the line ends.
  void end_answer();

  // Ours, lines with their line feeds; text of others has been through for_terminal().
  void say(std::string_view lines);
  // The same, less prominent.
  void remark(std::string_view lines);
  // Sequences for the terminal, and lines that are as wide as they may be.
  void show(std::string_view bytes);
  // A line that the next one, or whatever else is shown, takes the place of; only on a terminal.
  void status(std::string_view text);

  int fd() const { return fd_; }  // of all but answers
  bool is_terminal() const { return terminal_; }
  bool color() const { return color_; }
  bool has_sequences() const { return sequences_; }
  int columns() const { return terminal_size(fd_).columns; }

 private:
  void end_reasoning();
  void clear_status();
  std::string wrapped(std::string_view lines) const;

  const bool out_terminal_;  // standard output is a terminal
  const int fd_;
  const bool terminal_, sequences_, color_;
  const char end_;
  WordWrap wrap_;
  bool thinking_ = false;   // what was shown last is reasoning
  bool in_answer_ = false;  // something of it was shown
  bool has_status_ = false;
};

}  // namespace st
