// 256-bit vectors of AVX2 machines, for the files that differ in their dot product only.

#include <immintrin.h>

#include "kernels/isa/x86-inl.h"

namespace st {
namespace {

using VecF = __m256;
using VecI = int32_t __attribute__((vector_size(32)));
constexpr int kLanes = 8;
using Bytes = __m256i;
constexpr int kBytes = 32;

// Tiles as large as 16 registers allow.
constexpr Tuning kTune{.float_tile_rows = 4,
                       .float_tile_tokens = 3,
                       .hold_tiles = false,
                       .gemv_groups = 1,
                       .step_vecs = 4,
                       .unroll_steps = true,
                       .row_pointers = true,
                       .fetch_evenly = true,
                       .fetch_bursts = true,
                       .fetch_near = false,
                       .fetch_onward = true,
                       .sum_pairs = 8,
                       .probe_sums = 8,
                       .attend_queries = 6,
                       .attend_vecs = 2};

constexpr int kDotRows = 4;

VecF splat(float v) { return _mm256_set1_ps(v); }
VecI splat(int32_t v) { return (VecI)_mm256_set1_epi32(v); }

// Byte i of of_bits[m]: the place of the i-th one among the bits of m.
constexpr struct PlacesOfOnes {
  uint64_t of_bits[256] = {};

  constexpr PlacesOfOnes() {
    for (unsigned m = 0; m < 256; ++m) {
      int ones = 0;
      for (unsigned bit = 0; bit < 8; ++bit) {
        if ((m >> bit & 1) != 0) of_bits[m] |= uint64_t{bit} << 8 * ones++;
      }
    }
  }
} kPlacesOfOnes;

// All ones in the first n lanes, n <= kLanes.
VecI first(int64_t n) { return splat(static_cast<int32_t>(n)) > VecI{0, 1, 2, 3, 4, 5, 6, 7}; }

// The first n values at p; zero (or `rest`) beyond.
VecF load(const float* p, int64_t n = kLanes, VecF rest = VecF{}) {
  if (n == kLanes) return _mm256_loadu_ps(p);
  return first(n) ? _mm256_maskload_ps(p, (__m256i)first(n)) : rest;
}
VecI load(const int32_t* p) { return (VecI)load32(p); }
void store(float* p, VecF v, int64_t n = kLanes) {
  n == kLanes ? _mm256_storeu_ps(p, v) : _mm256_maskstore_ps(p, (__m256i)first(n), v);
}
__m128i load_halves(const uint16_t* p, int64_t n) {
  if (n == kLanes) return load16(p);
  if (n == kLanes / 2) return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  uint16_t lanes[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load16(lanes);
}
__m128i narrow_i16(VecI v) {
  const __m256i wide = (__m256i)v;
  return _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
}
void store_i16(int16_t* p, VecI v) { store16(p, narrow_i16(v)); }
void store_i8(int8_t* p, VecI v) {
  const __m128i words = narrow_i16(v);
  _mm_storeu_si64(p, _mm_packs_epi16(words, words));
}

VecF fma(VecF a, VecF b, VecF c) { return _mm256_fmadd_ps(a, b, c); }
VecF to_float(VecI v) { return _mm256_cvtepi32_ps((__m256i)v); }
VecI truncate(VecF v) { return (VecI)_mm256_cvttps_epi32(v); }

int64_t find_nonzero(const float* x, int64_t n, int32_t from, int32_t* index, float* values) {
  int64_t found = 0;
  for (int64_t i = 0; i < n; i += kLanes) {
    const VecF v = load(x + i, n - i < kLanes ? n - i : kLanes);
    const int ones = _mm256_movemask_ps(_mm256_cmp_ps(v, VecF{}, _CMP_NEQ_UQ));
    const __m256i places = _mm256_cvtepu8_epi32(
        _mm_loadl_epi64(reinterpret_cast<const __m128i*>(&kPlacesOfOnes.of_bits[ones])));
    store32(index + found, (__m256i)((VecI)places + splat(static_cast<int32_t>(i + from))));
    store(values + found, _mm256_permutevar8x32_ps(v, places));
    found += __builtin_popcount(static_cast<unsigned>(ones));
  }
  return found;
}

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

// The first n bytes at p; zero beyond. n may be anything.
ST_INLINE Bytes load_bytes(const void* p, int n) {
  if (n >= kBytes) return load32(p);
  alignas(32) uint8_t bytes[kBytes] = {};
  if (n > 0) __builtin_memcpy(bytes, p, static_cast<size_t>(n));
  return load32(bytes);
}
// Half a vector of bytes at p as 16-bit integers.
ST_INLINE Bytes widen_i8(const void* p) { return _mm256_cvtepi8_epi16(load16(p)); }
// kLanes bytes at p as integers.
ST_INLINE VecI lanes_u8(const uint8_t* p) {
  return (VecI)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
ST_INLINE VecI lanes_i8(const uint8_t* p) {
  return (VecI)_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
ST_INLINE Bytes splat_quad(const void* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, 4);
  return _mm256_set1_epi32(quad);
}

// The first n <= 2 values at p, each in the four lanes of its 128-bit part; zero beyond.
ST_INLINE VecF spread(const float* p, int n) {
  if (n < 2) return _mm256_set_m128(_mm_setzero_ps(), _mm_set1_ps(*p));
  double pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  const __m256i lanes = _mm256_set_epi32(1, 1, 1, 1, 0, 0, 0, 0);
  return _mm256_permutevar_ps((__m256)_mm256_set1_pd(pair), lanes);
}
ST_INLINE VecI spread(const int32_t* p, int n) {
  return (VecI)spread(reinterpret_cast<const float*>(p), n);
}
// The same for the vectors of a step, value 2 s and 2 s + 1 in out[s]; integers times -factor.
ST_INLINE void spread(const float* p, int n, VecF (&out)[kTune.step_vecs]) {
  for (int s = 0; s < kTune.step_vecs; ++s) {
    out[s] = n > 2 * s ? spread(p + 2 * s, n - 2 * s) : VecF{};
  }
}
ST_INLINE void spread_negative(const int32_t* p, int n, int32_t factor,
                               VecI (&out)[kTune.step_vecs]) {
  VecF values[kTune.step_vecs];
  spread(reinterpret_cast<const float*>(p), n, values);
  for (int s = 0; s < kTune.step_vecs; ++s) out[s] = -((VecI)values[s] * factor);
}

ST_INLINE VecI spread_pair(const int32_t* p) { return splat(*p); }

// First and second half of each of two blocks of bytes.
ST_INLINE void split_halves(Bytes a, Bytes b, Bytes& low, Bytes& high) {
  low = _mm256_permute2x128_si256(a, b, 0x20);
  high = _mm256_permute2x128_si256(a, b, 0x31);
}

// Lane 4 p + r: sum of the four lanes of part p of row r.
ST_INLINE VecI sum_quads(VecI a, VecI b, VecI c, VecI d) {
  const __m256i ab = _mm256_add_epi32(_mm256_unpacklo_epi32((__m256i)a, (__m256i)b),
                                      _mm256_unpackhi_epi32((__m256i)a, (__m256i)b));
  const __m256i cd = _mm256_add_epi32(_mm256_unpacklo_epi32((__m256i)c, (__m256i)d),
                                      _mm256_unpackhi_epi32((__m256i)c, (__m256i)d));
  return (VecI)_mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
}

// out[s], lane 4 p + r: scale 2 s + p < n of row r; zero beyond.
ST_INLINE void scales(const uint16_t* a, const uint16_t* b, const uint16_t* c, const uint16_t* d,
                      int n, VecF (&out)[kTune.step_vecs]) {
  const auto row = [n](const uint16_t* p) { return load_halves(p, n); };
  const __m128i ra = row(a), rb = row(b), rc = row(c), rd = row(d);
  const __m128i ab_low = _mm_unpacklo_epi16(ra, rb), ab_high = _mm_unpackhi_epi16(ra, rb);
  const __m128i cd_low = _mm_unpacklo_epi16(rc, rd), cd_high = _mm_unpackhi_epi16(rc, rd);
  out[0] = _mm256_cvtph_ps(_mm_unpacklo_epi32(ab_low, cd_low));
  out[1] = _mm256_cvtph_ps(_mm_unpackhi_epi32(ab_low, cd_low));
  out[2] = _mm256_cvtph_ps(_mm_unpacklo_epi32(ab_high, cd_high));
  out[3] = _mm256_cvtph_ps(_mm_unpackhi_epi32(ab_high, cd_high));
}

// Sum of the 128-bit parts.
ST_INLINE __m128 sum_chains(VecF v) {
  return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
}

// v: rows at steps of `stride` vectors, lanes are tokens; y[t * y_stride + r], t < tokens.
void store_transposed(const VecF* v, int64_t stride, int64_t rows, int64_t tokens, float* y,
                      int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t t = 0; t < tokens; ++t) y[t * y_stride + r] = v[r * stride][t];
  }
}

// Four rows of bytes: q[k] becomes the dwords of bytes 4 k .. 4 k + 3 of each 128-bit part, a byte
// of each row.
ST_INLINE void interleave(Bytes (&q)[4]) {
  const Bytes ab_low = _mm256_unpacklo_epi8(q[0], q[1]);
  const Bytes ab_high = _mm256_unpackhi_epi8(q[0], q[1]);
  const Bytes cd_low = _mm256_unpacklo_epi8(q[2], q[3]);
  const Bytes cd_high = _mm256_unpackhi_epi8(q[2], q[3]);
  q[0] = _mm256_unpacklo_epi16(ab_low, cd_low);
  q[1] = _mm256_unpackhi_epi16(ab_low, cd_low);
  q[2] = _mm256_unpacklo_epi16(ab_high, cd_high);
  q[3] = _mm256_unpackhi_epi16(ab_high, cd_high);
}

// Words of a and b in turn, from the lower or the upper halves of their 128-bit parts; lanes alike.
ST_INLINE Bytes interleave_low_words(Bytes a, Bytes b) { return _mm256_unpacklo_epi16(a, b); }
ST_INLINE Bytes interleave_high_words(Bytes a, Bytes b) { return _mm256_unpackhi_epi16(a, b); }
ST_INLINE VecF interleave_low(VecF a, VecF b) { return _mm256_unpacklo_ps(a, b); }
ST_INLINE VecF interleave_high(VecF a, VecF b) { return _mm256_unpackhi_ps(a, b); }

// Of 16-bit words: some bits, and bytes with their sign.
ST_INLINE Bytes mask_words(Bytes v, int16_t mask) {
  return _mm256_and_si256(v, _mm256_set1_epi16(mask));
}
template <int n>
ST_INLINE Bytes shift_words(Bytes v) {
  return _mm256_srli_epi16(v, n);
}
ST_INLINE Bytes low_bytes(Bytes v) { return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8); }
ST_INLINE Bytes high_bytes(Bytes v) { return _mm256_srai_epi16(v, 8); }

ST_INLINE Bytes look_up(Bytes16 table, Bytes v) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256((__m128i)table), v);
}
ST_INLINE void widen(Bytes16 v, VecI (&out)[2]) {
  out[0] = (VecI)_mm256_cvtepu8_epi32((__m128i)v);
  out[1] = (VecI)_mm256_cvtepu8_epi32(_mm_unpackhi_epi64((__m128i)v, (__m128i)v));
}
ST_INLINE void widen_signed(Bytes16 v, VecI (&out)[2]) {
  out[0] = (VecI)_mm256_cvtepi8_epi32((__m128i)v);
  out[1] = (VecI)_mm256_cvtepi8_epi32(_mm_unpackhi_epi64((__m128i)v, (__m128i)v));
}
ST_INLINE void widen_pairs(const Bytes16 (&two)[2], Bytes* out) {
  out[0] = _mm256_cvtepi8_epi16((__m128i)two[0]);
  out[1] = _mm256_cvtepi8_epi16((__m128i)two[1]);
}
ST_INLINE VecF repeat_halves(Bytes16 v) {
  return _mm256_cvtph_ps(_mm_unpacklo_epi64((__m128i)v, (__m128i)v));
}

// The first part shifted by `first` bits to the right, or to the left; the other one by `more` bits
// more to the right.
ST_INLINE Bytes shift_parts(Bytes v, int first, int more) {
  const int last = first + more;
  return first < 0 ? _mm256_sllv_epi32(v, _mm256_set_epi32(-last, -last, -last, -last, -first,
                                                           -first, -first, -first))
                   : _mm256_srlv_epi32(
                         v, _mm256_set_epi32(last, last, last, last, first, first, first, first));
}
// Parts are blocks `place` and place + 1, place is even.
template <int up = 0>
ST_INLINE Bytes spread_pairs(const uint8_t* plane, int place) {
  return shift_parts(_mm256_broadcastsi128_si256(load16(plane + place * 8)), -up, 4);
}
template <int up>
ST_INLINE Bytes spread_singles(Bytes16 plane, int place) {
  return shift_parts(_mm256_broadcastsi128_si256((__m128i)plane), 2 * place - up, 2);
}

ST_INLINE Bytes low_nibbles(Bytes v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
ST_INLINE Bytes high_nibbles(Bytes v) { return low_nibbles(_mm256_srli_epi16(v, 4)); }

}  // namespace
}  // namespace st

#include "kernels/generic/join-bits-inl.h"
