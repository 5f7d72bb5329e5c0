// What the control groups of this process leave it while it runs. A limit may be lowered, and
// others in the group may want more: who has a cache then gives some of it back, before somebody is
// killed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "base/cgroup.h"

namespace st {

class GroupWatch {
 public:
  struct Options {
    std::function<CgroupMemory()> groups;  // empty: as the kernel says
    std::function<uint64_t()> own;         // bytes that only go when we free them; the same
    std::chrono::milliseconds pause{100};  // a look takes 0.2 ms: not more often
    uint64_t less = uint64_t{1} << 20;     // what has become less by so much is less,
    uint64_t more = uint64_t{16} << 20;    // what has become more by so much is more
  };
  explicit GroupWatch(Options options);

  // Bytes this process may have, all together: the limit, or what others leave of it if that is
  // less. UINT64_MAX without a limit.
  uint64_t allowed();

 private:
  const Options options_;
  uint64_t allowed_ = UINT64_MAX;
  std::chrono::steady_clock::time_point next_{};
};

}  // namespace st
