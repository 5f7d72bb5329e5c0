// What was typed before, kept in a file between runs: an entry a line, with \n and \\ for line
// feeds and backslashes, so that entries of several lines stay whole. Only the user may read it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace st {

class LineHistory {
 public:
  static constexpr size_t kMost = 1000;  // entries

  // Empty path: nothing is read or written. A file that is not there, or cannot be read, is none.
  explicit LineHistory(std::string path);

  const std::vector<std::string>& entries() const { return entries_; }  // oldest first

  // Several processes may add to one file. What cannot be written is forgotten at the end of the
  // run: nobody's conversation stops for that.
  void add(std::string_view entry);

 private:
  void read();
  void shorten() const;

  std::string path_;
  std::vector<std::string> entries_;
};

// The user's file; empty where SMALLTHINKER_NOHISTORY is set, or there is no place for one.
std::string history_path();

}  // namespace st
