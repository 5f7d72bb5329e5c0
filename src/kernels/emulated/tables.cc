// Takes the place of isa/tables.cc in test programs that are linked with this file: the emulated
// tables are tables like all others, usable on every AVX2 machine and never the best.
#include "kernels/isa/tables.h"

#include "kernels/emulated/tables.h"

namespace st {

std::span<const KernelTable* const> all_kernels() {
  static constexpr const KernelTable* kAll[] = {&kAvx512,         &kAvxVnni,         &kAvx2,
                                                &kEmulatedAvx512, &kEmulatedAvxVnni, &kScalar};
  return kAll;
}

}  // namespace st
