// The table for AVX-VNNI with its instructions replaced by what they are defined to do, in terms of
// AVX2: what runs here is the text that runs there. For tests only.
#include <immintrin.h>

namespace st {
namespace {

// Products of four unsigned and four signed bytes, added to a lane; bytes 0 and 2, then 1 and 3.
inline __m256i add_byte_products(__m256i v, __m256i u, __m256i s) {
  const __m256i even = _mm256_madd_epi16(_mm256_and_si256(u, _mm256_set1_epi16(255)),
                                         _mm256_srai_epi16(_mm256_slli_epi16(s, 8), 8));
  const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(u, 8), _mm256_srai_epi16(s, 8));
  return _mm256_add_epi32(v, _mm256_add_epi32(even, odd));
}

// Products of two signed words, added to a lane.
inline __m256i add_word_products(__m256i v, __m256i a, __m256i b) {
  return _mm256_add_epi32(v, _mm256_madd_epi16(a, b));
}

}  // namespace
}  // namespace st

#define _mm256_dpbusd_avx_epi32 add_byte_products
#define _mm256_dpwssd_avx_epi32 add_word_products
#define kAvxVnni kTextOfAvxVnni
#include "kernels/emulated/tables.h"
#include "kernels/isa/avxvnni.cc"

namespace st {
const KernelTable kEmulatedAvxVnni = make_table("avxvnni_emulated", kCpuAvx2);
}
