// Ends a stream of text before the first of some texts, wherever it is cut into pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace st {

class StopTexts {
 public:
  // REQUIRES: none is empty.
  explicit StopTexts(std::vector<std::string> texts);

  // Takes the next piece; returns what can be shown now. What may be the beginning of a stop text
  // is held back; from one on, everything is dropped.
  std::string push(std::string_view piece);
  bool stopped() const { return stopped_; }
  // The end of the stream: what was held back after all.
  std::string finish();

 private:
  std::vector<std::string> texts_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace st
