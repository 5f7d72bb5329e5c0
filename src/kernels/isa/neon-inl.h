// 128-bit vectors of aarch64, for the files that differ in their dot products only.

#include <arm_neon.h>

#include <cstdint>

#include "kernels/generic/find-nonzero-inl.h"
#include "kernels/generic/vocabulary-inl.h"

#define ST_INLINE __attribute__((always_inline)) inline

namespace st {
namespace {

using VecF = float32x4_t;
using VecI = int32x4_t;
constexpr int kLanes = 4;
using Bytes = int8x16_t;
constexpr int kBytes = 16;

// Tiles as large as 32 registers allow.
constexpr Tuning kTune{.float_tile_rows = 4,
                       .float_tile_tokens = 4,
                       .hold_tiles = true,
                       .gemv_groups = 2,
                       .step_vecs = 4,
                       .unroll_steps = false,
                       .row_pointers = true,
                       .fetch_evenly = false,
                       .fetch_bursts = true,
                       .fetch_near = true,
                       .fetch_onward = false,
                       .sum_pairs = 16,
                       .probe_sums = 16,
                       .attend_queries = 6,
                       .attend_vecs = 2};

ST_INLINE VecF splat(float v) { return vdupq_n_f32(v); }
ST_INLINE VecI splat(int32_t v) { return vdupq_n_s32(v); }

// The first n values at p; zero (or `rest`) beyond.
ST_INLINE VecF load(const float* p, int64_t n = kLanes, VecF rest = VecF{}) {
  if (n == kLanes) return vld1q_f32(p);
  for (int64_t i = 0; i < n; ++i) rest[i] = p[i];
  return rest;
}
ST_INLINE VecI load(const int32_t* p) { return vld1q_s32(p); }
ST_INLINE void store(float* p, VecF v, int64_t n = kLanes) {
  if (n == kLanes) return vst1q_f32(p, v);
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
}
ST_INLINE uint16x4_t load_halves(const uint16_t* p, int64_t n) {
  if (n == kLanes) return vld1_u16(p);
  uint16x4_t v = {};
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
ST_INLINE void store_i16(int16_t* p, VecI v) { vst1_s16(p, vmovn_s32(v)); }
ST_INLINE void store_i8(int8_t* p, VecI v) {
  const int16x4_t words = vmovn_s32(v);
  const int32x2_t bytes = vreinterpret_s32_s8(vmovn_s16(vcombine_s16(words, words)));
  const int32_t four = vget_lane_s32(bytes, 0);
  __builtin_memcpy(p, &four, 4);
}

ST_INLINE VecF fma(VecF a, VecF b, VecF c) { return vfmaq_f32(c, a, b); }
ST_INLINE VecF to_float(VecI v) { return vcvtq_f32_s32(v); }
ST_INLINE VecI truncate(VecF v) { return vcvtq_s32_f32(v); }

// The lanes are always added in the same order.
ST_INLINE float sum(VecF v) { return vaddvq_f32(v); }
ST_INLINE int32_t sum(VecI v) { return vaddvq_s32(v); }
ST_INLINE int32_t max_lane(VecI v) { return vmaxvq_s32(v); }

struct F32 {
  using Value = float;
  ST_INLINE static VecF load(const float* p, int64_t n) { return st::load(p, n); }
};
struct F16 {
  using Value = uint16_t;
  ST_INLINE static VecF load(const uint16_t* p, int64_t n) {
    return vcvt_f32_f16(vreinterpret_f16_u16(load_halves(p, n)));
  }
};
struct BF16 {
  using Value = uint16_t;
  ST_INLINE static VecF load(const uint16_t* p, int64_t n) {
    return vreinterpretq_f32_u32(vshll_n_u16(load_halves(p, n), 16));
  }
};

ST_INLINE Bytes load16(const void* p) { return vld1q_s8(static_cast<const int8_t*>(p)); }
// Half a vector of bytes at p as 16-bit integers.
ST_INLINE Bytes widen_i8(const void* p) {
  return vreinterpretq_s8_s16(vmovl_s8(vld1_s8(static_cast<const int8_t*>(p))));
}
// Products of pairs of 16-bit integers, added to the lanes of v.
ST_INLINE VecI dot2(VecI v, Bytes a, Bytes b) {
  const int16x8_t x = vreinterpretq_s16_s8(a), y = vreinterpretq_s16_s8(b);
  const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y));
  return vaddq_s32(v, vpaddq_s32(low, vmull_high_s16(x, y)));
}

// The same, pairs added up at the end.
struct WordSum {
  int32x4_t low, high;
};
ST_INLINE void add_words(WordSum& sum, Bytes a, Bytes b) {
  const int16x8_t x = vreinterpretq_s16_s8(a), y = vreinterpretq_s16_s8(b);
  sum.low = vmlal_s16(sum.low, vget_low_s16(x), vget_low_s16(y));
  sum.high = vmlal_high_s16(sum.high, x, y);
}
ST_INLINE VecI total(WordSum sum) { return vpaddq_s32(sum.low, sum.high); }

// The first n bytes at p; zero beyond. n is a multiple of 16 and may be negative.
ST_INLINE Bytes load_bytes(const void* p, int n) { return n > 0 ? load16(p) : Bytes{}; }
// kLanes bytes at p as integers.
ST_INLINE VecI lanes_u8(const uint8_t* p) {
  uint32_t quad;
  __builtin_memcpy(&quad, p, 4);
  const uint16x4_t words = vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(quad))));
  return vreinterpretq_s32_u32(vmovl_u16(words));
}
ST_INLINE VecI lanes_i8(const uint8_t* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, 4);
  return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(quad)))));
}
ST_INLINE Bytes splat_quad(const void* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(quad));
}

// A vector is one block, or half of one.
ST_INLINE VecI spread(const int32_t* p, int) { return vld1q_dup_s32(p); }
ST_INLINE VecI spread_pair(const int32_t* p) { return vld1q_dup_s32(p); }
ST_INLINE void split_halves(Bytes a, Bytes b, Bytes& low, Bytes& high) {
  low = a;
  high = b;
}

// out[s]: value s < n at p, times -factor, in all lanes; zero for s >= n.
ST_INLINE void spread_negative(const int32_t* p, int n, int32_t factor,
                               VecI (&out)[kTune.step_vecs]) {
  VecI four = {};
  if (n >= 4) {
    four = load(p);
  } else {
    for (int i = 0; i < n; ++i) four[i] = p[i];
  }
  four = -(four * factor);
  for (int s = 0; s < kTune.step_vecs; ++s) out[s] = splat(four[s]);
}
ST_INLINE void spread(const float* p, int n, VecF (&out)[kTune.step_vecs]) {
  const VecF four = load(p, n);
  for (int s = 0; s < kTune.step_vecs; ++s) out[s] = splat(four[s]);
}

// Lane r: sum of the lanes of row r.
ST_INLINE VecI sum_quads(VecI a, VecI b, VecI c, VecI d) {
  return vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
}

// out[s], lane r: scale s < n of row r; zero for s >= n.
ST_INLINE void scales(const uint16_t* a, const uint16_t* b, const uint16_t* c, const uint16_t* d,
                      int n, VecF (&out)[kTune.step_vecs]) {
  const auto row = [n](const uint16_t* p) { return vcombine_u16(load_halves(p, n), uint16x4_t{}); };
  const uint32x4_t ab = vreinterpretq_u32_u16(vzip1q_u16(row(a), row(b)));
  const uint32x4_t cd = vreinterpretq_u32_u16(vzip1q_u16(row(c), row(d)));
  const float16x8_t first = vreinterpretq_f16_u32(vzip1q_u32(ab, cd));
  const float16x8_t second = vreinterpretq_f16_u32(vzip2q_u32(ab, cd));
  out[0] = vcvt_f32_f16(vget_low_f16(first));
  out[1] = vcvt_high_f32_f16(first);
  out[2] = vcvt_f32_f16(vget_low_f16(second));
  out[3] = vcvt_high_f32_f16(second);
}

ST_INLINE VecF sum_chains(VecF v) { return v; }

// The first n lanes, n <= 4.
ST_INLINE void store_rows(float* y, VecF v, int n) { store(y, v, n < kLanes ? n : kLanes); }

// v: rows at steps of `stride` vectors, lanes are tokens; y[t * y_stride + r], t < tokens.
void store_transposed(const VecF* v, int64_t stride, int64_t rows, int64_t tokens, float* y,
                      int64_t y_stride) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const VecF* p = v + r * stride;
    const float64x2_t a = vreinterpretq_f64_f32(vzip1q_f32(p[0], p[stride]));
    const float64x2_t b = vreinterpretq_f64_f32(vzip2q_f32(p[0], p[stride]));
    const float64x2_t c = vreinterpretq_f64_f32(vzip1q_f32(p[2 * stride], p[3 * stride]));
    const float64x2_t d = vreinterpretq_f64_f32(vzip2q_f32(p[2 * stride], p[3 * stride]));
    const float64x2_t lanes[kLanes] = {vzip1q_f64(a, c), vzip2q_f64(a, c), vzip1q_f64(b, d),
                                       vzip2q_f64(b, d)};
    for (int64_t t = 0; t < tokens; ++t) {
      vst1q_f32(y + t * y_stride + r, vreinterpretq_f32_f64(lanes[t]));
    }
  }
  for (; r < rows; ++r) {
    for (int64_t t = 0; t < tokens; ++t) y[t * y_stride + r] = v[r * stride][t];
  }
}

// Four rows of bytes: q[k] becomes the dwords of bytes 4 k .. 4 k + 3, a byte of each row.
ST_INLINE void interleave(Bytes (&q)[4]) {
  const int16x8_t ab_low = vreinterpretq_s16_s8(vzip1q_s8(q[0], q[1]));
  const int16x8_t ab_high = vreinterpretq_s16_s8(vzip2q_s8(q[0], q[1]));
  const int16x8_t cd_low = vreinterpretq_s16_s8(vzip1q_s8(q[2], q[3]));
  const int16x8_t cd_high = vreinterpretq_s16_s8(vzip2q_s8(q[2], q[3]));
  q[0] = vreinterpretq_s8_s16(vzip1q_s16(ab_low, cd_low));
  q[1] = vreinterpretq_s8_s16(vzip2q_s16(ab_low, cd_low));
  q[2] = vreinterpretq_s8_s16(vzip1q_s16(ab_high, cd_high));
  q[3] = vreinterpretq_s8_s16(vzip2q_s16(ab_high, cd_high));
}

// Words of a and b in turn, from their lower or their upper halves; lanes alike.
ST_INLINE Bytes interleave_low_words(Bytes a, Bytes b) {
  return vreinterpretq_s8_s16(vzip1q_s16(vreinterpretq_s16_s8(a), vreinterpretq_s16_s8(b)));
}
ST_INLINE Bytes interleave_high_words(Bytes a, Bytes b) {
  return vreinterpretq_s8_s16(vzip2q_s16(vreinterpretq_s16_s8(a), vreinterpretq_s16_s8(b)));
}
ST_INLINE VecF interleave_low(VecF a, VecF b) { return vzip1q_f32(a, b); }
ST_INLINE VecF interleave_high(VecF a, VecF b) { return vzip2q_f32(a, b); }

// Of 16-bit words: some bits, and bytes with their sign.
ST_INLINE Bytes mask_words(Bytes v, int16_t mask) {
  return vandq_s8(v, vreinterpretq_s8_s16(vdupq_n_s16(mask)));
}
template <int n>
ST_INLINE Bytes shift_words(Bytes v) {
  return vreinterpretq_s8_u16(vshrq_n_u16(vreinterpretq_u16_s8(v), n));
}
ST_INLINE Bytes low_bytes(Bytes v) {
  return vreinterpretq_s8_s16(vshrq_n_s16(vshlq_n_s16(vreinterpretq_s16_s8(v), 8), 8));
}
ST_INLINE Bytes high_bytes(Bytes v) {
  return vreinterpretq_s8_s16(vshrq_n_s16(vreinterpretq_s16_s8(v), 8));
}

ST_INLINE Bytes look_up(Bytes16 table, Bytes v) {
  return vqtbl1q_s8((int8x16_t)table, vreinterpretq_u8_s8(v));
}
ST_INLINE void widen(Bytes16 v, VecI (&out)[4]) {
  const uint16x8_t low = vmovl_u8(vget_low_u8((uint8x16_t)v));
  const uint16x8_t high = vmovl_high_u8((uint8x16_t)v);
  out[0] = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low)));
  out[1] = vreinterpretq_s32_u32(vmovl_high_u16(low));
  out[2] = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high)));
  out[3] = vreinterpretq_s32_u32(vmovl_high_u16(high));
}
ST_INLINE void widen_signed(Bytes16 v, VecI (&out)[4]) {
  const int16x8_t low = vmovl_s8(vget_low_s8((int8x16_t)v));
  const int16x8_t high = vmovl_high_s8((int8x16_t)v);
  out[0] = vmovl_s16(vget_low_s16(low));
  out[1] = vmovl_high_s16(low);
  out[2] = vmovl_s16(vget_low_s16(high));
  out[3] = vmovl_high_s16(high);
}
ST_INLINE void widen_pairs(const Bytes16 (&two)[2], Bytes* out) {
  for (int k = 0; k < 2; ++k) {
    out[2 * k] = vreinterpretq_s8_s16(vmovl_s8(vget_low_s8((int8x16_t)two[k])));
    out[2 * k + 1] = vreinterpretq_s8_s16(vmovl_high_s8((int8x16_t)two[k]));
  }
}
ST_INLINE VecF repeat_halves(Bytes16 v) { return vcvt_f32_f16(vget_low_f16((float16x8_t)v)); }

// The only part is block `place`.
ST_INLINE Bytes spread_pairs(const uint8_t* plane, int place) {
  const Bytes both = load16(plane + place / 2 * 16);
  return place % 2 == 0 ? both : vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(both), 4));
}

// Inserting shifts keep what lies below or above.
template <int kBelow>
ST_INLINE void join_pairs(Bytes v, const uint8_t* plane, int place, Bytes& low, Bytes& high) {
  static_assert(kBelow == 4);
  const Bytes spread = spread_pairs(plane, place);
  const Bytes top = place % 2 == 0 ? vandq_s8(spread, vdupq_n_s8(15)) : spread;
  high = vsriq_n_s8(vshlq_n_s8(top, 2), v, 4);
  low = vandq_s8(vsliq_n_s8(v, top, 4), vdupq_n_s8(63));
}
template <int kBelow>
ST_INLINE void join_singles(Bytes v, Bytes16 plane, int place, Bytes& low, Bytes& high) {
  const int8x16_t all = vdupq_n_s8((2 << kBelow) - 1);
  const auto top = (Bytes)(plane >> (2 * place));
  if constexpr (kBelow == 4) {
    high = vandq_s8(vsriq_n_s8(vshlq_n_s8(top, 3), v, 4), all);
  } else {
    const uint8x16_t down = vshrq_n_u8(vreinterpretq_u8_s8(v), kBelow);
    const uint8x16_t next = vshrq_n_u8(vreinterpretq_u8_s8(top), 1);
    high = vandq_s8(vreinterpretq_s8_u8(vsliq_n_u8(down, next, kBelow)), all);
  }
  low = vandq_s8(vsliq_n_s8(v, top, kBelow), all);
}

ST_INLINE Bytes low_nibbles(Bytes v) { return vandq_s8(v, vdupq_n_s8(15)); }
ST_INLINE Bytes high_nibbles(Bytes v) {
  return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(v), 4));
}

// All products are of signed bytes: Q8_0 weights need no offset.
constexpr int kQ8Offset = 0;
ST_INLINE Bytes q8_weights(Bytes v) { return v; }

// GCC schedules loads far ahead of their use, until registers run out.
ST_INLINE void keep_order() { asm volatile("" ::: "memory"); }

// Makes v opaque to the optimiser.
template <typename V>
ST_INLINE void hide(V& v) {
  asm volatile("" : "+w"(v));
}

}  // namespace
}  // namespace st

#include "kernels/generic/tile-block-inl.h"
