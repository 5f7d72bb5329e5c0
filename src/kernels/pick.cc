#include <string>

#include "base/cpu.h"
#include "base/error.h"
#include "kernels/isa/tables.h"

namespace st {

const WeightFormat& KernelTable::format(DType type) const {
  static constexpr WeightFormat kNone = {};
  for (const WeightFormat& format : formats) {
    if (format.type == type) return format;
  }
  return kNone;
}

std::vector<const KernelTable*> usable_kernels(uint64_t features) {
  std::vector<const KernelTable*> tables;
  for (const KernelTable* table : all_kernels()) {
    if ((table->needs & ~features) == 0) tables.push_back(table);
  }
  return tables;
}

std::span<const KernelTable* const> usable_kernels() {
  static const std::vector<const KernelTable*> usable = usable_kernels(cpu_features());
  return usable;
}

const KernelTable& pick_kernels(std::string_view force,
                                std::span<const KernelTable* const> usable) {
  if (force.empty()) return *usable.front();
  std::string names;
  for (const KernelTable* table : usable) {
    if (table->name == force) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  }
  fail(ErrorCode::kInvalidUsage, "no kernels called \"{}\" for this CPU; usable: {}",
       printable(force), names);
}

const KernelTable& pick_kernels(std::string_view force) {
  return pick_kernels(force, usable_kernels());
}

}  // namespace st
