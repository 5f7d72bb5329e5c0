// What one rendering may cost. Time and memory are both bounded by steps: what is evaluated, copied
// or kept is paid for first.
#pragma once

#include <cstddef>
#include <cstdint>

#include "jinja/refuse.h"
#include "text/marked_text.h"

namespace st::jinja {

struct Limits {
  uint64_t steps = 1'000'000;       // an expression or statement is one
  size_t output = size_t{4} << 20;  // bytes, of the whole and of each captured part
  size_t list = 100'000;            // elements of one list or dict
  int calls = 64;                   // macros within macros
};

class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits), left_(limits.steps) {}

  const Limits& limits() const { return limits_; }

  void steps(uint64_t count) {
    if (count > left_) refuse("step limit {} exceeded", limits_.steps);
    left_ -= count;
  }
  // Bytes of text that are read or written.
  void bytes(uint64_t count) { steps(count / 64); }
  void text(const MarkedText& text) {
    bytes(text.bytes.size());
    items(text.runs.size());
  }
  // Elements that are looked at or copied.
  void items(uint64_t count) { steps(count / 4); }
  // Elements of a new list.
  void new_list(uint64_t count) {
    if (count > limits_.list) refuse("list of {} elements, at most {}", count, limits_.list);
    items(count);
  }

 private:
  Limits limits_;
  uint64_t left_;
};

}  // namespace st::jinja
