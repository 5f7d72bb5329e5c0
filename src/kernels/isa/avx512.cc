// AVX-512 with VNNI: 16 floats, or a 32-value block of two rows, per vector.
#include <immintrin.h>

#include "base/cpu.h"
#include "kernels/isa/tables.h"
#include "kernels/isa/x86-inl.h"

namespace st {
namespace {

using VecF = __m512;
using VecI = int32_t __attribute__((vector_size(64)));
constexpr int kLanes = 16;

// Larger tiles do not measure faster (Zen 5), although there are registers for them.
constexpr int kFloatTileRows = 4;
constexpr int kFloatTileTokens = 4;
constexpr int kRowsPerVec = 2;
constexpr int kBlockTileVecs = 4;
constexpr int kBlockTileTokens = 4;

// The first n lanes, n <= kLanes.
__mmask16 first(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }

VecF splat(float v) { return _mm512_set1_ps(v); }
VecI splat(int32_t v) { return (VecI)_mm512_set1_epi32(v); }

// The first n values at p; zero (or `rest`) beyond.
VecF load(const float* p, int64_t n = kLanes, VecF rest = VecF{}) {
  return n == kLanes ? _mm512_loadu_ps(p) : _mm512_mask_loadu_ps(rest, first(n), p);
}
void store(float* p, VecF v, int64_t n = kLanes) {
  n == kLanes ? _mm512_storeu_ps(p, v) : _mm512_mask_storeu_ps(p, first(n), v);
}
__m256i load_halves(const uint16_t* p, int64_t n) {
  return n == kLanes ? load32(p) : _mm256_maskz_loadu_epi16(first(n), p);
}
void store_f16(uint16_t* p, VecF v, int64_t n) {
  _mm256_mask_storeu_epi16(p, first(n), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
VecI widen(const int8_t* p) { return (VecI)_mm512_cvtepi8_epi32(load16(p)); }
VecI widen(const uint8_t* p) { return (VecI)_mm512_cvtepu8_epi32(load16(p)); }
void store_i8(int8_t* p, VecI v) { store16(p, _mm512_cvtepi32_epi8((__m512i)v)); }

VecF fma(VecF a, VecF b, VecF c) { return _mm512_fmadd_ps(a, b, c); }
VecF to_float(VecI v) { return _mm512_cvtepi32_ps((__m512i)v); }
VecI truncate(VecF v) { return (VecI)_mm512_cvttps_epi32(v); }

__m256 low(VecF v) { return _mm512_castps512_ps256(v); }
__m256 high(VecF v) { return _mm512_extractf32x8_ps(v, 1); }
float sum(VecF v) { return sum8(low(v) + high(v)); }
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

// The activations of one block, for both rows.
VecI load_q8(const int8_t* p) { return (VecI)_mm512_broadcast_i64x4(load32(p)); }

VecF scales(uint16_t first_row, uint16_t second_row) {
  const __m256i d = _mm256_set1_epi16(static_cast<int16_t>(first_row));
  return _mm512_cvtph_ps(_mm256_mask_set1_epi16(d, 0xFF00, static_cast<int16_t>(second_row)));
}

template <int kRows>
void store_row_sums(float* y, VecF v) {
  y[0] = sum8(low(v));
  if (kRows == 2) y[1] = sum8(high(v));
}

struct UnsignedBlocks {
  __m512i u;
  VecF d;
  VecI dot(VecI x, VecI start) const {
    return (VecI)_mm512_dpbusd_epi32((__m512i)start, u, (__m512i)x);
  }
};

struct Q8_0 : UnsignedBlocks {
  using Block = BlockQ8_0;
  static constexpr int kLaneOffset = 128 / 8;
  static Q8_0 load(const Block* b, int64_t next_row) {
    const __m512i q =
        _mm512_inserti64x4(_mm512_castsi256_si512(load32(b->qs)), load32(b[next_row].qs), 1);
    return {_mm512_xor_si512(q, _mm512_set1_epi8(-128)), scales(b->d, b[next_row].d)};
  }
};

struct Q4_0 : UnsignedBlocks {
  using Block = BlockQ4_0;
  static constexpr int kLaneOffset = 8 / 8;
  static Q4_0 load(const Block* b, int64_t next_row) {
    const __m512i first_row = _mm512_broadcast_i32x4(load16(b->qs));
    const __m512i both = _mm512_mask_broadcast_i32x4(first_row, 0xFF00, load16(b[next_row].qs));
    const __m512i shifts = _mm512_set_epi64(4, 4, 0, 0, 4, 4, 0, 0);
    return {_mm512_and_si512(_mm512_srlv_epi64(both, shifts), _mm512_set1_epi8(15)),
            scales(b->d, b[next_row].d)};
  }
};

// For the probe.
constexpr int kProbeSums = 16;
VecI dot4(VecI u, VecI s, VecI start) {
  return (VecI)_mm512_dpbusd_epi32((__m512i)start, (__m512i)u, (__m512i)s);
}

}  // namespace
}  // namespace st

#include "kernels/generic/table-inl.h"

namespace st {
const KernelTable kAvx512 = make_table("avx512", kCpuAvx2 | kCpuAvx512 | kCpuAvx512Vnni);
}
