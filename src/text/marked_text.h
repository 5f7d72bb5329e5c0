// Text that knows where its bytes come from: a chat's messages are not to be taken for the marks
// that a template puts around them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace st {

struct MarkedText {
  struct Run {
    size_t size;   // bytes
    bool trusted;  // names of special tokens stand for these tokens; else they are mere text
    bool operator==(const Run&) const = default;
  };

  std::string bytes;
  std::vector<Run> runs;  // of all bytes; neighbours differ, none is empty

  void append(std::string_view text, bool trusted) {
    if (text.empty()) return;
    bytes += text;
    if (!runs.empty() && runs.back().trusted == trusted) {
      runs.back().size += text.size();
    } else {
      runs.push_back({text.size(), trusted});
    }
  }

  // Keeps the first `size` bytes. REQUIRES: there are so many.
  void cut(size_t size) {
    size_t more = bytes.size() - size;
    bytes.resize(size);
    while (more > 0 && more >= runs.back().size) {
      more -= runs.back().size;
      runs.pop_back();
    }
    if (more > 0) runs.back().size -= more;
  }

  bool operator==(const MarkedText&) const = default;
};

}  // namespace st
