// Loads and sums shared by the x86 files; each gets its own copy, built with its own flags.

#include <immintrin.h>

#include <cstdint>

#include "kernels/generic/vocabulary-inl.h"

#define ST_INLINE __attribute__((always_inline)) inline

namespace st {
namespace {

ST_INLINE __m128i load16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
ST_INLINE __m256i load32(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
ST_INLINE void store16(void* p, __m128i v) { _mm_storeu_si128(static_cast<__m128i*>(p), v); }
ST_INLINE void store32(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }

// The first n lanes, n <= 4.
ST_INLINE void store_rows(float* y, __m128 v, int n) {
  if (n >= 4) return _mm_storeu_ps(y, v);
  for (int i = 0; i < n; ++i) y[i] = v[i];
}

// Makes v opaque to the optimiser.
template <typename V>
ST_INLINE void hide(V& v) {
  asm volatile("" : "+v"(v));
}

// Loads stay where they are used here.
ST_INLINE void keep_order() {}

// The sum of eight lanes, always in the same order.
ST_INLINE float sum8(__m256 v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

}  // namespace
}  // namespace st
