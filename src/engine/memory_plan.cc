#include "engine/memory_plan.h"

#include <algorithm>
#include <fstream>

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

uint64_t MemoryPlan::smallest() const {
  const uint64_t experts_bytes = static_cast<uint64_t>(fewest) * expert;
  return mib_up(fixed(1) + kv_least + experts_bytes + kMeasured) * kMiB;
}

bool MemoryPlan::fits() const {
  return fixed(tokens) + kv_full + static_cast<uint64_t>(fewest) * expert <= budget;
}

int64_t MemoryPlan::room(uint64_t kv, int64_t batch) const {
  const uint64_t taken = fixed(batch) + kv;
  const uint64_t limit = std::min(budget, group_limit);
  if (limit <= taken) return 0;
  return std::min(static_cast<int64_t>((limit - taken) / expert), experts);
}

void MemoryPlan::check() const {
  if (fits()) return;
  fail(ErrorCode::kInvalidUsage,
       "a memory budget of {} MiB is too small: {} MiB is the smallest that works ({} MiB for what "
       "stays, {} for scratch, {} for a full context, {} for experts)",
       budget / kMiB, smallest() / kMiB, mib_up(resident + kSpare + kMeasured),
       mib_up(logits + per_token), mib_up(kv_least),
       mib_up(static_cast<uint64_t>(fewest) * expert));
}

int64_t micro_batch_within(uint64_t budget, int64_t wanted, uint64_t per_token) {
  while (wanted > 1 && static_cast<uint64_t>(wanted) * per_token > budget / 16) wanted /= 2;
  return wanted;
}

uint64_t resident_memory() { return memory_in_use().resident; }

uint64_t anonymous_memory() {
  const MemoryInUse memory = memory_in_use();
  return memory.resident - std::min(memory.shared, memory.resident);
}

}  // namespace st
