// AVX-VNNI: AVX2 with a byte dot product of its own (Intel from Alder Lake on, AMD from Zen 5 on).
#include "base/cpu.h"
#include "kernels/isa/tables.h"
#include "kernels/isa/x86-256-inl.h"

namespace st {
namespace {

// Products of pairs of 16-bit integers, added to the lanes of v.
ST_INLINE VecI dot2(VecI v, Bytes a, Bytes b) {
  return (VecI)_mm256_dpwssd_avx_epi32((__m256i)v, a, b);
}

// Products of u and s in groups of four bytes, added to the lanes of v.
ST_INLINE VecI dot4(VecI v, Bytes u, Bytes s) {
  return (VecI)_mm256_dpbusd_avx_epi32((__m256i)v, u, s);
}

// Q8_0 weights are made unsigned.
constexpr int kQ8Offset = 128;
ST_INLINE Bytes q8_weights(Bytes v) { return _mm256_xor_si256(v, _mm256_set1_epi8(-128)); }
ST_INLINE VecI dot_q8(VecI v, Bytes w, Bytes x) { return dot4(v, w, x); }

}  // namespace
}  // namespace st

#include "kernels/generic/dots-by-four-inl.h"

namespace st {
namespace {

template <int most>
using CodeDots = DotsByFour<dot4>;
using ByteDots = DotsByFour<dot_q8>;

}  // namespace
}  // namespace st

// Needs the above:
#include "kernels/generic/table-inl.h"

namespace st {
const KernelTable kAvxVnni = make_table("avxvnni", kCpuAvx2 | kCpuAvxVnni);
}
