// AVX2 with FMA and F16C: 8 floats, or a 32-value block of one row, per vector.
#include <immintrin.h>

#include "base/cpu.h"
#include "kernels/isa/tables.h"
#include "kernels/isa/x86-inl.h"

namespace st {
namespace {

using VecF = __m256;
using VecI = int32_t __attribute__((vector_size(32)));
constexpr int kLanes = 8;

// Tiles as large as 16 registers allow.
constexpr int kFloatTileRows = 4;
constexpr int kFloatTileTokens = 3;
constexpr int kRowsPerVec = 1;
constexpr int kBlockTileVecs = 3;
constexpr int kBlockTileTokens = 2;

VecF splat(float v) { return _mm256_set1_ps(v); }
VecI splat(int32_t v) { return (VecI)_mm256_set1_epi32(v); }

// All ones in the first n lanes, n <= kLanes.
VecI first(int64_t n) { return splat(static_cast<int32_t>(n)) > VecI{0, 1, 2, 3, 4, 5, 6, 7}; }

// The first n values at p; zero (or `rest`) beyond.
VecF load(const float* p, int64_t n = kLanes, VecF rest = VecF{}) {
  if (n == kLanes) return _mm256_loadu_ps(p);
  return first(n) ? _mm256_maskload_ps(p, (__m256i)first(n)) : rest;
}
void store(float* p, VecF v, int64_t n = kLanes) {
  n == kLanes ? _mm256_storeu_ps(p, v) : _mm256_maskstore_ps(p, (__m256i)first(n), v);
}
__m128i load_halves(const uint16_t* p, int64_t n) {
  if (n == kLanes) return load16(p);
  uint16_t lanes[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load16(lanes);
}
void store_f16(uint16_t* p, VecF v, int64_t n) {
  const __m128i halves = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
  if (n == kLanes) return store16(p, halves);
  uint16_t lanes[kLanes];
  store16(lanes, halves);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}
VecI widen(const int8_t* p) { return (VecI)_mm256_cvtepi8_epi32(_mm_loadu_si64(p)); }
VecI widen(const uint8_t* p) { return (VecI)_mm256_cvtepu8_epi32(_mm_loadu_si64(p)); }
void store_i8(int8_t* p, VecI v) {
  const __m256i wide = (__m256i)v;
  const __m128i words =
      _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  _mm_storeu_si64(p, _mm_packs_epi16(words, words));
}

VecF fma(VecF a, VecF b, VecF c) { return _mm256_fmadd_ps(a, b, c); }
VecF to_float(VecI v) { return _mm256_cvtepi32_ps((__m256i)v); }
VecI truncate(VecF v) { return (VecI)_mm256_cvttps_epi32(v); }

float sum(VecF v) { return sum8(v); }
int32_t sum(VecI v) {
  const __m256i wide = (__m256i)v;
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1)));
}
int32_t max_lane(VecI v) {
  const __m256i wide = (__m256i)v;
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4E));
  return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xB1)));
}

struct F32 {
  using Value = float;
  static VecF load(const float* p, int64_t n) { return st::load(p, n); }
};
struct F16 {
  using Value = uint16_t;
  static VecF load(const uint16_t* p, int64_t n) { return _mm256_cvtph_ps(load_halves(p, n)); }
};
struct BF16 {
  using Value = uint16_t;
  static VecF load(const uint16_t* p, int64_t n) {
    return (VecF)_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_halves(p, n)), 16);
  }
};

VecI load_q8(const int8_t* p) { return (VecI)load32(p); }

template <int kRows>
void store_row_sums(float* y, VecF v) {
  *y = sum8(v);
}

VecF scale(uint16_t d) { return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<int16_t>(d))); }

// Sums of four products u * s with u unsigned, added to start. No pair may exceed 32767.
VecI dot_unsigned(__m256i u, __m256i s, VecI start) {
  return start + (VecI)_mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1));
}

// |q| * (x with the sign of q): pairs reach 2 * 128 * 127 = 32512 as |x| <= 127.
struct Q8_0 {
  using Block = BlockQ8_0;
  static constexpr int kLaneOffset = 0;
  __m256i q;
  __m256i magnitude;
  VecF d;
  static Q8_0 load(const Block* b, int64_t) {
    const __m256i q = load32(b->qs);
    return {q, _mm256_abs_epi8(q), scale(b->d)};
  }
  VecI dot(VecI x, VecI start) const {
    return dot_unsigned(magnitude, _mm256_sign_epi8((__m256i)x, q), start);
  }
};

struct Q4_0 {
  using Block = BlockQ4_0;
  static constexpr int kLaneOffset = 8 / 8;
  __m256i u;
  VecF d;
  static Q4_0 load(const Block* b, int64_t) {
    const __m128i qs = load16(b->qs);
    const __m256i nibbles = _mm256_set_m128i(_mm_srli_epi16(qs, 4), qs);
    return {_mm256_and_si256(nibbles, _mm256_set1_epi8(15)), scale(b->d)};
  }
  VecI dot(VecI x, VecI start) const { return dot_unsigned(u, (__m256i)x, start); }
};

// For the probe.
constexpr int kProbeSums = 8;
VecI dot4(VecI u, VecI s, VecI start) { return dot_unsigned((__m256i)u, (__m256i)s, start); }

}  // namespace
}  // namespace st

#include "kernels/generic/table-inl.h"

namespace st {
const KernelTable kAvx2 = make_table("avx2", kCpuAvx2);
}
