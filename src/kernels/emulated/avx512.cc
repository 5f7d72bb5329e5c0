// The table for AVX-512 with its instructions replaced by what they are defined to do: what runs
// here is the text that runs there. For tests only.
#include "kernels/emulated/avx512-inl.h"
#define kAvx512 kTextOfAvx512
#include "kernels/emulated/tables.h"
#include "kernels/isa/avx512.cc"

namespace st {
const KernelTable kEmulatedAvx512 = make_table("avx512_emulated", kCpuAvx2);
}
