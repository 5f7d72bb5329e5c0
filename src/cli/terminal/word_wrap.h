// Text that comes in pieces, in lines that end between words where a terminal is that wide. What
// was begun and may not fit waits for its end, a word at most.
#pragma once

#include <string>
#include <string_view>

namespace st {

class WordWrap {
 public:
  // What can be shown by now. Lines are as they are within ``` fences, whose text is copied
  // elsewhere. A character that is cut between two pieces is two that are no UTF-8.
  std::string add(std::string_view text, int columns);
  // What was waiting.
  std::string finish();

  int column() const { return column_ + word_columns_; }

 private:
  void take(std::string_view character, int wide, std::string& out);
  void end_word(std::string& out);
  void end_line(std::string& out);

  int columns_ = 80;
  int column_ = 0;      // of what was shown
  std::string spaces_;  // after it, shown if a word follows in this line
  std::string word_;    // waiting
  int word_columns_ = 0;
  bool long_word_ = false;   // what is waiting belongs to a word that was begun on the screen
  std::string line_begins_;  // the first bytes of the line, for fences
  bool in_fence_ = false;
};

}  // namespace st
