// AVX2: its byte dot product goes through 16-bit pairs, which must not overflow.
#include "base/cpu.h"
#include "kernels/isa/tables.h"
#include "kernels/isa/x86-256-inl.h"

namespace st {
namespace {

// Products of pairs of 16-bit integers, added to the lanes of v.
ST_INLINE VecI dot2(VecI v, Bytes a, Bytes b) { return v + (VecI)_mm256_madd_epi16(a, b); }

// Products of u and s in groups of four bytes, added to the lanes of v. No pair of products may
// exceed 32767, which holds for nibbles.
ST_INLINE VecI dot4(VecI v, Bytes u, Bytes s) {
  return v + (VecI)_mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1));
}

// |w| times x with the sign of w: pairs reach 2 * 128 * 127 = 32512 as |x| <= 127.
constexpr int kQ8Offset = 0;
ST_INLINE Bytes q8_weights(Bytes v) { return v; }
ST_INLINE VecI dot_q8(VecI v, Bytes w, Bytes x) {
  return dot4(v, _mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

}  // namespace
}  // namespace st

#include "kernels/generic/dots-by-four-inl.h"

// Needs the above:
#include "kernels/generic/table-inl.h"

namespace st {
const KernelTable kAvx2 = make_table("avx2", kCpuAvx2);
}
