#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "kernels/isa/tables.h"

namespace st {
namespace {

constexpr const KernelTable* kAll[] = {
#if defined(__x86_64__)
    &kAvx512,
    &kAvxVnni,
    &kAvx2,
#elif defined(__aarch64__)
    &kI8mm,
    &kDotprod,
    &kNeon,
#endif
    &kScalar,
};

}  // namespace

std::span<const KernelTable* const> usable_kernels() {
  static const std::vector<const KernelTable*> usable = [] {
    const uint64_t features = cpu_features();
    std::vector<const KernelTable*> tables;
    for (const KernelTable* table : kAll) {
      if ((table->needs & ~features) == 0) tables.push_back(table);
    }
    return tables;
  }();
  return usable;
}

const KernelTable& pick_kernels(std::string_view force) {
  const auto usable = usable_kernels();
  if (force.empty()) return *usable.front();
  std::string names;
  for (const KernelTable* table : usable) {
    if (table->name == force) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  }
  fail(ErrorCode::kInvalidUsage, "no kernels called \"{}\" for this CPU; usable: {}",
       printable(force), names);
}

}  // namespace st
