// AVX-512 with VNNI: 16 floats or 64 bytes per vector.
#include <immintrin.h>

#include "base/cpu.h"
#include "kernels/isa/tables.h"
#include "kernels/isa/x86-inl.h"

namespace st {
namespace {

using VecF = __m512;
using VecI = int32_t __attribute__((vector_size(64)));
constexpr int kLanes = 16;
using Bytes = __m512i;
constexpr int kBytes = 64;

// Larger tiles do not measure faster (Zen 5), although there are registers for them.
constexpr Tuning kTune{.float_tile_rows = 4,
                       .float_tile_tokens = 4,
                       .hold_tiles = true,
                       .gemv_groups = 2,
                       .step_vecs = 1,
                       .unroll_steps = false,
                       .row_pointers = false,
                       .fetch_evenly = false,
                       .fetch_bursts = false,
                       .fetch_near = true,
                       .fetch_onward = false,
                       .sum_pairs = 16,
                       .probe_sums = 16,
                       .attend_queries = 6,
                       .attend_vecs = 4};

constexpr int kDotRows = 1;

// The first n lanes, n <= kLanes.
__mmask16 first(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }

__mmask8 first_of_8(int n) { return static_cast<__mmask8>((1u << n) - 1); }

VecI splat(int32_t v) { return (VecI)_mm512_set1_epi32(v); }
VecF splat(float v) { return _mm512_set1_ps(v); }

// The first n values at p; zero (or `rest`) beyond.
VecF load(const float* p, int64_t n = kLanes, VecF rest = VecF{}) {
  return n == kLanes ? _mm512_loadu_ps(p) : _mm512_mask_loadu_ps(rest, first(n), p);
}
VecI load(const int32_t* p) { return (VecI)_mm512_loadu_si512(p); }
void store(float* p, VecF v, int64_t n = kLanes) {
  n == kLanes ? _mm512_storeu_ps(p, v) : _mm512_mask_storeu_ps(p, first(n), v);
}
__m256i load_halves(const uint16_t* p, int64_t n) {
  return n == kLanes ? load32(p) : _mm256_maskz_loadu_epi16(first(n), p);
}
void store_i8(int8_t* p, VecI v) { store16(p, _mm512_cvtepi32_epi8((__m512i)v)); }
void store_i16(int16_t* p, VecI v) { store32(p, _mm512_cvtepi32_epi16((__m512i)v)); }

VecF fma(VecF a, VecF b, VecF c) { return _mm512_fmadd_ps(a, b, c); }
VecF to_float(VecI v) { return _mm512_cvtepi32_ps((__m512i)v); }
VecI truncate(VecF v) { return (VecI)_mm512_cvttps_epi32(v); }

float sum(VecF v) { return sum8(_mm512_castps512_ps256(v) + _mm512_extractf32x8_ps(v, 1)); }
int32_t sum(VecI v) { return _mm512_reduce_add_epi32((__m512i)v); }
int32_t max_lane(VecI v) { return _mm512_reduce_max_epi32((__m512i)v); }

struct F32 {
  using Value = float;
  static VecF load(const float* p, int64_t n) { return st::load(p, n); }
};
struct F16 {
  using Value = uint16_t;
  static VecF load(const uint16_t* p, int64_t n) { return _mm512_cvtph_ps(load_halves(p, n)); }
};
struct BF16 {
  using Value = uint16_t;
  static VecF load(const uint16_t* p, int64_t n) {
    return (VecF)_mm512_slli_epi32(_mm512_cvtepu16_epi32(load_halves(p, n)), 16);
  }
};

// The first n bytes at p; zero beyond. n may be anything.
ST_INLINE Bytes load_bytes(const void* p, int n) {
  if (n >= kBytes) return _mm512_loadu_si512(p);
  return n <= 0 ? Bytes{} : _mm512_maskz_loadu_epi8((uint64_t{1} << n) - 1, p);
}
// kLanes bytes at p as integers.
ST_INLINE VecI lanes_u8(const uint8_t* p) { return (VecI)_mm512_cvtepu8_epi32(load16(p)); }
ST_INLINE VecI lanes_i8(const uint8_t* p) { return (VecI)_mm512_cvtepi8_epi32(load16(p)); }
ST_INLINE Bytes splat_quad(const void* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, 4);
  return _mm512_set1_epi32(quad);
}

// The first n <= 4 values at p, each in the four lanes of its 128-bit part; zero beyond.
ST_INLINE VecI spread(const int32_t* p, int n) {
  const __m128i four = n >= 4 ? load16(p) : _mm_maskz_loadu_epi32(first_of_8(n), p);
  const __m512i lanes = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
  return (VecI)_mm512_permutexvar_epi32(lanes, _mm512_castsi128_si512(four));
}
ST_INLINE VecF spread(const float* p, int n) {
  return (VecF)spread(reinterpret_cast<const int32_t*>(p), n);
}
// The same for a step; integers times -factor.
ST_INLINE void spread_negative(const int32_t* p, int n, int32_t factor, VecI (&out)[1]) {
  out[0] = -(spread(p, n) * factor);
}
ST_INLINE void spread(const float* p, int n, VecF (&out)[1]) { out[0] = spread(p, n); }

// First and second half of each of four blocks of bytes.
ST_INLINE void split_halves(Bytes a, Bytes b, Bytes& low, Bytes& high) {
  low = _mm512_permutex2var_epi64(a, _mm512_set_epi64(13, 12, 9, 8, 5, 4, 1, 0), b);
  high = _mm512_permutex2var_epi64(a, _mm512_set_epi64(15, 14, 11, 10, 7, 6, 3, 2), b);
}

// Lane 4 p + r: sum of the four lanes of part p of row r.
ST_INLINE VecI sum_quads(VecI a, VecI b, VecI c, VecI d) {
  const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32((__m512i)a, (__m512i)b),
                                      _mm512_unpackhi_epi32((__m512i)a, (__m512i)b));
  const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32((__m512i)c, (__m512i)d),
                                      _mm512_unpackhi_epi32((__m512i)c, (__m512i)d));
  return (VecI)_mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

// Lane 4 p + r: scale p < n of row r; zero for p >= n.
ST_INLINE void scales(const uint16_t* a, const uint16_t* b, const uint16_t* c, const uint16_t* d,
                      int n, VecF (&out)[1]) {
  const auto four = [n](const uint16_t* p) {
    return n >= 4 ? _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))
                  : _mm_maskz_loadu_epi16(first_of_8(n), p);
  };
  const __m128i ab = _mm_unpacklo_epi16(four(a), four(b));
  const __m128i cd = _mm_unpacklo_epi16(four(c), four(d));
  out[0] =
      _mm512_cvtph_ps(_mm256_set_m128i(_mm_unpackhi_epi32(ab, cd), _mm_unpacklo_epi32(ab, cd)));
}

// Sum of the 128-bit parts.
ST_INLINE __m128 sum_chains(VecF v) {
  const __m128 low = _mm_add_ps(_mm512_castps512_ps128(v), _mm512_extractf32x4_ps(v, 1));
  const __m128 high = _mm_add_ps(_mm512_extractf32x4_ps(v, 2), _mm512_extractf32x4_ps(v, 3));
  return _mm_add_ps(low, high);
}

// v: rows at steps of `stride` vectors, lanes are tokens; y[t * y_stride + r], t < tokens.
void store_transposed(const VecF* v, int64_t stride, int64_t rows, int64_t tokens, float* y,
                      int64_t y_stride) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const VecF* p = v + r * stride;
    const __m512d a = (__m512d)_mm512_unpacklo_ps(p[0], p[stride]);
    const __m512d b = (__m512d)_mm512_unpackhi_ps(p[0], p[stride]);
    const __m512d c = (__m512d)_mm512_unpacklo_ps(p[2 * stride], p[3 * stride]);
    const __m512d d = (__m512d)_mm512_unpackhi_ps(p[2 * stride], p[3 * stride]);
    alignas(64) __m128 lanes[4][4];  // [token mod 4][token / 4]: four rows
    _mm512_store_ps(lanes[0], (__m512)_mm512_unpacklo_pd(a, c));
    _mm512_store_ps(lanes[1], (__m512)_mm512_unpackhi_pd(a, c));
    _mm512_store_ps(lanes[2], (__m512)_mm512_unpacklo_pd(b, d));
    _mm512_store_ps(lanes[3], (__m512)_mm512_unpackhi_pd(b, d));
    for (int64_t t = 0; t < tokens; ++t) _mm_storeu_ps(y + t * y_stride + r, lanes[t % 4][t / 4]);
  }
  for (; r < rows; ++r) {
    for (int64_t t = 0; t < tokens; ++t) y[t * y_stride + r] = v[r * stride][t];
  }
}

int64_t find_nonzero(const float* x, int64_t n, int32_t from, int32_t* index, float* values) {
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  int64_t found = 0;
  for (int64_t i = 0; i < n; i += kLanes) {
    const VecF v = load(x + i, n - i < kLanes ? n - i : kLanes);
    const __mmask16 mask = _mm512_cmp_ps_mask(v, VecF{}, _CMP_NEQ_UQ);
    const __m512i at = _mm512_add_epi32(lanes, _mm512_set1_epi32(from + static_cast<int>(i)));
    _mm512_storeu_si512(index + found, _mm512_maskz_compress_epi32(mask, at));
    _mm512_storeu_ps(values + found, _mm512_maskz_compress_ps(mask, v));
    found += __builtin_popcount(mask);
  }
  return found;
}

// Four rows of bytes: q[k] becomes the dwords of bytes 4 k .. 4 k + 3 of each 128-bit part, a byte
// of each row.
ST_INLINE void interleave(Bytes (&q)[4]) {
  const Bytes ab_low = _mm512_unpacklo_epi8(q[0], q[1]);
  const Bytes ab_high = _mm512_unpackhi_epi8(q[0], q[1]);
  const Bytes cd_low = _mm512_unpacklo_epi8(q[2], q[3]);
  const Bytes cd_high = _mm512_unpackhi_epi8(q[2], q[3]);
  q[0] = _mm512_unpacklo_epi16(ab_low, cd_low);
  q[1] = _mm512_unpackhi_epi16(ab_low, cd_low);
  q[2] = _mm512_unpacklo_epi16(ab_high, cd_high);
  q[3] = _mm512_unpackhi_epi16(ab_high, cd_high);
}

// Words of a and b in turn, from the lower or the upper halves of their 128-bit parts; lanes alike.
ST_INLINE Bytes interleave_low_words(Bytes a, Bytes b) { return _mm512_unpacklo_epi16(a, b); }
ST_INLINE Bytes interleave_high_words(Bytes a, Bytes b) { return _mm512_unpackhi_epi16(a, b); }
ST_INLINE VecF interleave_low(VecF a, VecF b) { return _mm512_unpacklo_ps(a, b); }
ST_INLINE VecF interleave_high(VecF a, VecF b) { return _mm512_unpackhi_ps(a, b); }

// Of 16-bit words: some bits, and bytes with their sign.
ST_INLINE Bytes mask_words(Bytes v, int16_t mask) {
  return _mm512_and_si512(v, _mm512_set1_epi16(mask));
}
template <int n>
ST_INLINE Bytes shift_words(Bytes v) {
  return _mm512_srli_epi16(v, n);
}
ST_INLINE Bytes low_bytes(Bytes v) { return _mm512_srai_epi16(_mm512_slli_epi16(v, 8), 8); }
ST_INLINE Bytes high_bytes(Bytes v) { return _mm512_srai_epi16(v, 8); }

// Half a vector of bytes at p as 16-bit integers.
ST_INLINE Bytes widen_i8(const void* p) { return _mm512_cvtepi8_epi16(load32(p)); }
// Products of pairs of 16-bit integers, added to the lanes of v.
ST_INLINE VecI dot2(VecI v, Bytes a, Bytes b) {
  return (VecI)_mm512_dpwssd_epi32((__m512i)v, a, b);
}

// Products of u and s in groups of four bytes, added to the lanes of v.
ST_INLINE VecI dot4(VecI v, Bytes u, Bytes s) {
  return (VecI)_mm512_dpbusd_epi32((__m512i)v, u, s);
}
ST_INLINE Bytes look_up(Bytes16 table, Bytes v) {
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4((__m128i)table), v);
}
ST_INLINE void widen(Bytes16 v, VecI (&out)[1]) { out[0] = (VecI)_mm512_cvtepu8_epi32((__m128i)v); }
ST_INLINE void widen_signed(Bytes16 v, VecI (&out)[1]) {
  out[0] = (VecI)_mm512_cvtepi8_epi32((__m128i)v);
}
ST_INLINE void widen_pairs(const Bytes16 (&two)[2], Bytes* out) {
  *out = _mm512_cvtepi8_epi16(_mm256_set_m128i((__m128i)two[1], (__m128i)two[0]));
}
ST_INLINE VecF repeat_halves(Bytes16 v) {
  return _mm512_cvtph_ps(_mm256_broadcastq_epi64((__m128i)v));
}

// Parts are the blocks of a chunk, place is 0.
template <int up = 0>
ST_INLINE Bytes spread_pairs(const uint8_t* plane, int /*place*/) {
  const __m512i twice = _mm512_permutexvar_epi64(_mm512_set_epi64(3, 2, 3, 2, 1, 0, 1, 0),
                                                 _mm512_castsi256_si512(load32(plane)));
  const __m512i right = _mm512_set_epi32(4, 4, 4, 4, 0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0);
  return _mm512_slli_epi16(_mm512_srlv_epi32(twice, right), up);
}
template <int up>
ST_INLINE Bytes spread_singles(Bytes16 plane, int /*place*/) {
  const __m512i right = _mm512_set_epi32(6, 6, 6, 6, 4, 4, 4, 4, 2, 2, 2, 2, 0, 0, 0, 0);
  return _mm512_slli_epi16(_mm512_srlv_epi32(_mm512_broadcast_i32x4((__m128i)plane), right), up);
}

ST_INLINE Bytes low_nibbles(Bytes v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
ST_INLINE Bytes high_nibbles(Bytes v) { return low_nibbles(_mm512_srli_epi16(v, 4)); }

// Q8_0 weights are made unsigned.
constexpr int kQ8Offset = 128;
ST_INLINE Bytes q8_weights(Bytes v) { return _mm512_xor_si512(v, _mm512_set1_epi8(-128)); }
ST_INLINE VecI dot_q8(VecI v, Bytes w, Bytes x) { return dot4(v, w, x); }

// Values 0 and 1 at p, each in eight lanes.
ST_INLINE VecI spread_pair(const int32_t* p) {
  const __m512i lanes = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m128i two = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return (VecI)_mm512_permutexvar_epi32(lanes, _mm512_castsi128_si512(two));
}

}  // namespace
}  // namespace st

#include "kernels/generic/dots-by-four-inl.h"
#include "kernels/generic/join-bits-inl.h"

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
const KernelTable kAvx512 = make_table("avx512", kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni);
}
