// Software prefetch of rows, a share at every step of other work: one row after the other, because
// hardware prefetchers see through an ascending order, not through rows side by side.
//
// What suits a CPU is up to kTune.
#pragma once

#include <cstdint>

namespace st {
namespace {

// Into the second-level cache: what waits in the small first level pushes out what is in use.
ST_INLINE void fetch_line(const void* p) { __builtin_prefetch(p, 0, 2); }

// Rows [i, end) of `rows`, `bytes` bytes each from rows->start_fetching(i) on, which may fetch
// more.
template <typename Rows>
struct Fetch {
  const Rows* rows;
  int64_t i, end;
  int64_t bytes;
  bool near = false;  // into the first level: faster if all is one run of memory
  const uint8_t* line = nullptr;
  int64_t left = 0;  // bytes of the current row

  ST_INLINE void advance(int lines) {
    if (kTune.fetch_bursts) {  // fewest instructions; memory must not mind
      if (left <= 0 && !next_row()) return;
      if (left >= lines * 64) {
#pragma GCC unroll 8
        for (int k = 0; k < lines; ++k) ask(line + k * 64);
        line += lines * 64;
        left -= lines * 64;
        return;
      }
    }
    for (; lines > 0; --lines) {
      if (left <= 0 && !next_row()) return;
      ask(line);
      line += 64;
      left -= 64;
    }
  }

 private:
  ST_INLINE bool next_row() {
    if (i >= end) return false;
    line = rows->start_fetching(i++);
    left = bytes;
    return true;
  }
  ST_INLINE void ask(const uint8_t* p) const {
    if (kTune.fetch_near && near) {
      __builtin_prefetch(p);
    } else {
      fetch_line(p);
    }
  }
};

}  // namespace
}  // namespace st
