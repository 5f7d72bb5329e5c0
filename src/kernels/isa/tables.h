// The tables of this binary. Each is the one symbol its object file exports.
#pragma once

#include "kernels/kernels.h"

namespace st {

extern const KernelTable kScalar;
// All of this binary, best first.
std::span<const KernelTable* const> all_kernels();

#if defined(__x86_64__)
extern const KernelTable kAvx2;
extern const KernelTable kAvxVnni;
extern const KernelTable kAvx512;
#elif defined(__aarch64__)
extern const KernelTable kNeon;
extern const KernelTable kDotprod;
extern const KernelTable kI8mm;
#endif

}  // namespace st
