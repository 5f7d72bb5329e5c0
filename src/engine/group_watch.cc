#include "engine/group_watch.h"

#include <algorithm>
#include <utility>

#include "engine/memory_plan.h"

namespace st {
namespace {

GroupWatch::Options with_defaults(GroupWatch::Options options) {
  if (!options.groups) options.groups = [] { return read_cgroup_memory(); };
  if (!options.own) options.own = anonymous_memory;
  return options;
}

}  // namespace

GroupWatch::GroupWatch(Options options) : options_(with_defaults(std::move(options))) {}

uint64_t GroupWatch::allowed() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return allowed_;
  next_ = now + options_.pause;
  const CgroupMemory memory = options_.groups();
  uint64_t seen = memory.limit.value_or(UINT64_MAX);
  if (memory.available) seen = std::min(seen, options_.own() + *memory.available);
  // The figures tremble; what is given back for nothing has to be read again.
  const bool less = seen < allowed_ && allowed_ - seen >= options_.less;
  const bool more = seen > allowed_ && seen - allowed_ >= options_.more;
  if (less || more) allowed_ = seen;
  return allowed_;
}

}  // namespace st
