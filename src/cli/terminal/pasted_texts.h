// Long texts that were pasted into a line: the line shows a mark, such as "[pasted text 1: 200
// lines]", that stands for the text until the line is sent.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace st {

class PastedTexts {
 public:
  // More than a screen has room for beside the answer that it is about.
  static bool is_long(std::string_view text);

  // The mark that stands for a text from now on.
  std::string mark(std::string_view text);
  // A line with marks in place of the texts that have some, all of it a mark if it is still long.
  std::string shown(std::string_view text);
  // The line with the texts in place of their marks.
  std::string expanded(std::string_view line) const;

 private:
  struct Pasted {
    std::string mark, text;
  };
  std::vector<Pasted> texts_;
};

}  // namespace st
