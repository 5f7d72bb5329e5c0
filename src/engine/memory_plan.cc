#include "engine/memory_plan.h"

#include <algorithm>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/memory.h"

namespace st {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

uint64_t mib_up(uint64_t bytes) { return (bytes + kMiB - 1) / kMiB; }

struct MemoryInUse {
  uint64_t resident = 0, shared = 0;
};

MemoryInUse memory_in_use() {
  std::ifstream file("/proc/self/statm");
  uint64_t pages = 0;
  MemoryInUse memory;
  if (!(file >> pages >> memory.resident >> memory.shared)) return {};
  return {memory.resident * page_size(), memory.shared * page_size()};
}

}  // namespace

uint64_t MemoryPlan::holding(int64_t count) const {
  return mib_up(fixed(tokens) + kv_full + static_cast<uint64_t>(count) * expert) * kMiB;
}

uint64_t MemoryPlan::least() const {
  return fixed(1) + kv_least + static_cast<uint64_t>(fewest) * expert;
}

uint64_t MemoryPlan::smallest() const { return mib_up(least() + kMeasured) * kMiB; }

uint64_t MemoryPlan::smallest_here() const { return mib_up(least()) * kMiB; }

uint64_t MemoryPlan::largest() const {
  const uint64_t everything =
      fixed(wanted) + kv_wanted + static_cast<uint64_t>(experts) * expert + kMeasured;
  return mib_up(std::max(everything, budget_for_micro_batch(wanted, per_token))) * kMiB;
}

uint64_t MemoryPlan::needed() const {
  return fixed(tokens) + kv_full + static_cast<uint64_t>(fewest) * expert;
}

bool MemoryPlan::fits() const {
  const uint64_t needed = this->needed();
  return needed <= budget && needed - program <= group_limit;
}

int64_t MemoryPlan::room(uint64_t kv, int64_t batch) const {
  const uint64_t taken = fixed(batch) + kv;
  const uint64_t limit = std::min(budget, group_limit);
  if (limit <= taken) return 0;
  return std::min(static_cast<int64_t>((limit - taken) / expert), experts);
}

void MemoryPlan::check() const {
  if (!fits()) refuse(0);
}

void MemoryPlan::check_for_any_run() const {
  const uint64_t in_any_run = least() + kALittleMore;
  if (in_any_run > budget || in_any_run - program > group_limit) refuse(kMeasured);
}

// Parts are rounded so that they add up to the sum.
void MemoryPlan::refuse(uint64_t margin) const {
  const bool of_group = needed() + margin <= budget;
  // The group takes back what it must; a budget counts it.
  const uint64_t stays = resident + kSpare + margin - (of_group ? program : 0);
  const uint64_t parts[] = {stays, threads + logits + per_token, kv_least,
                            static_cast<uint64_t>(fewest) * expert};
  uint64_t mib[std::size(parts)];
  uint64_t sum = 0;
  for (size_t i = 0; i < std::size(parts); ++i) {
    mib[i] = mib_up(sum + parts[i]) - mib_up(sum);
    sum += parts[i];
  }
  const std::string what =
      of_group ? fmt::format("the control group leaves {} MiB, too little", group_limit / kMiB)
               : fmt::format("a memory budget of {} MiB is too small", budget / kMiB);
  const bool long_context = 2 * kv_least > smallest();
  const std::string here = margin == 0 ? fmt::format(", {} MiB in this one", mib_up(sum)) : "";
  fail(ErrorCode::kInvalidUsage,
       "{}: {} MiB is the smallest that works in every run{} ({} for what stays, {} for scratch, "
       "{} for a full context{}, {} for {})",
       what, smallest() / kMiB, here, mib[0], mib[1], mib[2],
       long_context ? fmt::format(" of {} tokens: -c makes it shorter", context) : "", mib[3],
       units);
}

void fail_without_budget(uint64_t needed, uint64_t allowed, bool of_group, const MemoryPlan& plan) {
  const std::string where = of_group
                                ? fmt::format("the control group leaves {} MiB", allowed / kMiB)
                                : fmt::format("the machine has {} MiB", allowed / kMiB);
  // A little less than all, so that it is there the next time too.
  const uint64_t budget = std::max(plan.smallest(), allowed / 20 * 19 / kMiB * kMiB);
  if (budget > allowed) {
    fail(ErrorCode::kOutOfMemory,
         "needs {} MiB, {}; the smallest budget (--memory) that works is {} MiB", mib_up(needed),
         where, budget / kMiB);
  }
  fail(ErrorCode::kOutOfMemory, "needs {} MiB, {}: use --memory {}MiB", mib_up(needed), where,
       budget / kMiB);
}

int64_t micro_batch_within(uint64_t budget, int64_t wanted, uint64_t per_token) {
  while (wanted > 1 && budget_for_micro_batch(wanted, per_token) > budget) wanted /= 2;
  return wanted;
}

uint64_t budget_for_micro_batch(int64_t wanted, uint64_t per_token) {
  return 16 * static_cast<uint64_t>(wanted) * per_token;
}

uint64_t resident_memory() { return memory_in_use().resident; }

uint64_t anonymous_memory() {
  const MemoryInUse memory = memory_in_use();
  return memory.resident - std::min(memory.shared, memory.resident);
}

}  // namespace st
