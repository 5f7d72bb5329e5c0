#include "kernels/isa/tables.h"

namespace st {

std::span<const KernelTable* const> all_kernels() {
  static constexpr const KernelTable* kAll[] = {
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
  return kAll;
}

}  // namespace st
