// The AVX-512 intrinsics that isa/avx512.cc uses, as Intel's Intrinsics Guide defines them: by
// halves where AVX2 has the same instruction, lane by lane where it has not.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace st {
namespace {
namespace wide {

#define ST_WIDE __attribute__((always_inline)) inline

using Dwords = int32_t __attribute__((vector_size(64)));

template <typename Part, typename Whole>
ST_WIDE Part part(const Whole& v, int i) {
  Part p;
  __builtin_memcpy(&p, reinterpret_cast<const char*>(&v) + i * int{sizeof(Part)}, sizeof p);
  return p;
}
template <typename Whole, typename Half>
ST_WIDE Whole join(Half low, Half high) {
  Whole v;
  __builtin_memcpy(&v, &low, sizeof low);
  __builtin_memcpy(reinterpret_cast<char*>(&v) + sizeof low, &high, sizeof high);
  return v;
}

// name(a, b) from the instruction for half the width.
#define ST_BY_HALVES(Whole, Half, name, instruction)                     \
  ST_WIDE Whole name(Whole a, Whole b) {                                 \
    return join<Whole>(instruction(part<Half>(a, 0), part<Half>(b, 0)),  \
                       instruction(part<Half>(a, 1), part<Half>(b, 1))); \
  }
ST_BY_HALVES(__m512i, __m256i, add_epi32, _mm256_add_epi32)
ST_BY_HALVES(__m512i, __m256i, and_si512, _mm256_and_si256)
ST_BY_HALVES(__m512i, __m256i, xor_si512, _mm256_xor_si256)
ST_BY_HALVES(__m512i, __m256i, shuffle_epi8, _mm256_shuffle_epi8)
ST_BY_HALVES(__m512i, __m256i, srlv_epi32, _mm256_srlv_epi32)
ST_BY_HALVES(__m512i, __m256i, unpacklo_epi8, _mm256_unpacklo_epi8)
ST_BY_HALVES(__m512i, __m256i, unpackhi_epi8, _mm256_unpackhi_epi8)
ST_BY_HALVES(__m512i, __m256i, unpacklo_epi16, _mm256_unpacklo_epi16)
ST_BY_HALVES(__m512i, __m256i, unpackhi_epi16, _mm256_unpackhi_epi16)
ST_BY_HALVES(__m512i, __m256i, unpacklo_epi32, _mm256_unpacklo_epi32)
ST_BY_HALVES(__m512i, __m256i, unpackhi_epi32, _mm256_unpackhi_epi32)
ST_BY_HALVES(__m512i, __m256i, unpacklo_epi64, _mm256_unpacklo_epi64)
ST_BY_HALVES(__m512i, __m256i, unpackhi_epi64, _mm256_unpackhi_epi64)
ST_BY_HALVES(__m512, __m256, unpacklo_ps, _mm256_unpacklo_ps)
ST_BY_HALVES(__m512, __m256, unpackhi_ps, _mm256_unpackhi_ps)
ST_BY_HALVES(__m512d, __m256d, unpacklo_pd, _mm256_unpacklo_pd)
ST_BY_HALVES(__m512d, __m256d, unpackhi_pd, _mm256_unpackhi_pd)
#undef ST_BY_HALVES

// name(v, n): each lane shifted.
#define ST_SHIFT(name, instruction)                            \
  ST_WIDE __m512i name(__m512i v, int n) {                     \
    return join<__m512i>(instruction(part<__m256i>(v, 0), n),  \
                         instruction(part<__m256i>(v, 1), n)); \
  }
ST_SHIFT(slli_epi16, _mm256_slli_epi16)
ST_SHIFT(srli_epi16, _mm256_srli_epi16)
ST_SHIFT(srai_epi16, _mm256_srai_epi16)
ST_SHIFT(slli_epi32, _mm256_slli_epi32)
#undef ST_SHIFT

// ---- The same value everywhere, values one by one ----

ST_WIDE __m512i set1_epi8(char x) {
  return join<__m512i>(_mm256_set1_epi8(x), _mm256_set1_epi8(x));
}
ST_WIDE __m512i set1_epi16(int16_t x) {
  return join<__m512i>(_mm256_set1_epi16(x), _mm256_set1_epi16(x));
}
ST_WIDE __m512i set1_epi32(int32_t x) {
  return join<__m512i>(_mm256_set1_epi32(x), _mm256_set1_epi32(x));
}
ST_WIDE __m512 set1_ps(float x) { return join<__m512>(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
ST_WIDE __m512i set_epi32(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j,
                          int k, int l, int m, int n, int o, int p) {
  return (__m512i)Dwords{p, o, n, m, l, k, j, i, h, g, f, e, d, c, b, a};
}
ST_WIDE __m512i set_epi64(int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f,
                          int64_t g, int64_t h) {
  return __m512i{h, g, f, e, d, c, b, a};
}

// ---- Memory ----

ST_WIDE __m512 loadu_ps(const void* p) { return part<__m512>(*static_cast<const char*>(p), 0); }
ST_WIDE __m512i loadu_si512(const void* p) {
  return part<__m512i>(*static_cast<const char*>(p), 0);
}
ST_WIDE void storeu(void* p, __m512 v) { __builtin_memcpy(p, &v, sizeof v); }
ST_WIDE void storeu(void* p, __m512i v) { __builtin_memcpy(p, &v, sizeof v); }

// Values of `rest` where the mask has no bit: memory there is not read.
template <typename Value, typename Vector>
ST_WIDE Vector load_masked(Vector rest, uint64_t mask, const void* p) {
  Value lanes[sizeof(Vector) / sizeof(Value)];
  __builtin_memcpy(lanes, &rest, sizeof rest);
  for (size_t i = 0; i < sizeof(Vector) / sizeof(Value); ++i) {
    if ((mask >> i & 1) != 0) {
      __builtin_memcpy(&lanes[i], static_cast<const char*>(p) + i * sizeof(Value), sizeof(Value));
    }
  }
  __builtin_memcpy(&rest, lanes, sizeof rest);
  return rest;
}
ST_WIDE void mask_storeu_ps(float* p, uint64_t mask, __m512 v) {
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0) p[i] = v[i];
  }
}

// ---- Parts, moves between lanes ----

ST_WIDE __m512i castsi128_si512(__m128i v) {
  return join<__m512i>(_mm256_zextsi128_si256(v), _mm256_setzero_si256());
}
ST_WIDE __m512i castsi256_si512(__m256i v) { return join<__m512i>(v, _mm256_setzero_si256()); }
ST_WIDE __m512i broadcast_i32x4(__m128i v) {
  const __m256i twice = _mm256_broadcastsi128_si256(v);
  return join<__m512i>(twice, twice);
}
ST_WIDE __m512i permutexvar_epi64(__m512i from, __m512i v) {
  __m512i out;
  for (int i = 0; i < 8; ++i) out[i] = v[from[i] & 7];
  return out;
}
ST_WIDE __m512i permutexvar_epi32(__m512i from, __m512i v) {
  Dwords out;
  for (int i = 0; i < 16; ++i) out[i] = ((Dwords)v)[((Dwords)from)[i] & 15];
  return (__m512i)out;
}
ST_WIDE __m512i permutex2var_epi64(__m512i a, __m512i from, __m512i b) {
  __m512i out;
  for (int i = 0; i < 8; ++i) out[i] = (from[i] & 8) != 0 ? b[from[i] & 7] : a[from[i] & 7];
  return out;
}
ST_WIDE Dwords compress(uint64_t mask, Dwords v) {
  Dwords out{};
  for (int i = 0, n = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0) out[n++] = v[i];
  }
  return out;
}

// ---- Conversions, truncating where the type is narrower ----

ST_WIDE __m128i cvtepi32_epi8(__m512i v) {
  char out[16];
  for (int i = 0; i < 16; ++i) out[i] = static_cast<char>(((Dwords)v)[i]);
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(out));
}
ST_WIDE __m256i cvtepi32_epi16(__m512i v) {
  int16_t out[16];
  for (int i = 0; i < 16; ++i) out[i] = static_cast<int16_t>(((Dwords)v)[i]);
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(out));
}
ST_WIDE __m512i cvtepi8_epi16(__m256i v) {
  return join<__m512i>(_mm256_cvtepi8_epi16(part<__m128i>(v, 0)),
                       _mm256_cvtepi8_epi16(part<__m128i>(v, 1)));
}
ST_WIDE __m512i cvtepi8_epi32(__m128i v) {
  return join<__m512i>(_mm256_cvtepi8_epi32(v), _mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)));
}
ST_WIDE __m512i cvtepu8_epi32(__m128i v) {
  return join<__m512i>(_mm256_cvtepu8_epi32(v), _mm256_cvtepu8_epi32(_mm_srli_si128(v, 8)));
}
ST_WIDE __m512i cvtepu16_epi32(__m256i v) {
  return join<__m512i>(_mm256_cvtepu16_epi32(part<__m128i>(v, 0)),
                       _mm256_cvtepu16_epi32(part<__m128i>(v, 1)));
}
ST_WIDE __m512 cvtph_ps(__m256i v) {
  return join<__m512>(_mm256_cvtph_ps(part<__m128i>(v, 0)), _mm256_cvtph_ps(part<__m128i>(v, 1)));
}
ST_WIDE __m512 cvtepi32_ps(__m512i v) {
  return join<__m512>(_mm256_cvtepi32_ps(part<__m256i>(v, 0)),
                      _mm256_cvtepi32_ps(part<__m256i>(v, 1)));
}
ST_WIDE __m512i cvttps_epi32(__m512 v) {
  return join<__m512i>(_mm256_cvttps_epi32(part<__m256>(v, 0)),
                       _mm256_cvttps_epi32(part<__m256>(v, 1)));
}

// ---- Arithmetic ----

ST_WIDE __m512 fmadd_ps(__m512 a, __m512 b, __m512 c) {
  return join<__m512>(_mm256_fmadd_ps(part<__m256>(a, 0), part<__m256>(b, 0), part<__m256>(c, 0)),
                      _mm256_fmadd_ps(part<__m256>(a, 1), part<__m256>(b, 1), part<__m256>(c, 1)));
}
ST_WIDE int32_t reduce_add_epi32(__m512i v) {
  uint32_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += static_cast<uint32_t>(((Dwords)v)[i]);
  return static_cast<int32_t>(sum);
}
ST_WIDE int32_t reduce_max_epi32(__m512i v) {
  int32_t most = ((Dwords)v)[0];
  for (int i = 1; i < 16; ++i) most = ((Dwords)v)[i] > most ? ((Dwords)v)[i] : most;
  return most;
}
template <int kPredicate>
ST_WIDE __mmask16 cmp_ps_mask(__m512 a, __m512 b) {
  const auto half = [&](int i) {
    return _mm256_movemask_ps(_mm256_cmp_ps(part<__m256>(a, i), part<__m256>(b, i), kPredicate));
  };
  return static_cast<__mmask16>(half(0) | half(1) << 8);
}
// Products of two signed words, added to a lane.
ST_WIDE __m512i dpwssd_epi32(__m512i v, __m512i a, __m512i b) {
  const auto half = [&](int i) {
    return _mm256_madd_epi16(part<__m256i>(a, i), part<__m256i>(b, i));
  };
  return add_epi32(v, join<__m512i>(half(0), half(1)));
}
// Products of four unsigned and four signed bytes, added to a lane; bytes 0 and 2, then 1 and 3.
ST_WIDE __m512i dpbusd_epi32(__m512i v, __m512i u, __m512i s) {
  const __m512i even =
      dpwssd_epi32(v, and_si512(u, set1_epi16(255)), srai_epi16(slli_epi16(s, 8), 8));
  return dpwssd_epi32(even, srli_epi16(u, 8), srai_epi16(s, 8));
}

}  // namespace wide

// Registers of this width are none here: nothing to hide a value in.
ST_WIDE void hide(__m512&) {}
ST_WIDE void hide(__m512i&) {}
ST_WIDE void hide(wide::Dwords&) {}

}  // namespace
}  // namespace st

#define _mm512_add_epi32 wide::add_epi32
#define _mm512_and_si512 wide::and_si512
#define _mm512_broadcast_i32x4 wide::broadcast_i32x4
#define _mm512_castps512_ps128(v) wide::part<__m128>(v, 0)
#define _mm512_castps512_ps256(v) wide::part<__m256>(v, 0)
#define _mm512_castsi128_si512 wide::castsi128_si512
#define _mm512_castsi256_si512 wide::castsi256_si512
#undef _mm512_cmp_ps_mask
#define _mm512_cmp_ps_mask(a, b, predicate) wide::cmp_ps_mask<predicate>(a, b)
#define _mm512_cvtepi32_epi16 wide::cvtepi32_epi16
#define _mm512_cvtepi32_epi8 wide::cvtepi32_epi8
#define _mm512_cvtepi32_ps wide::cvtepi32_ps
#define _mm512_cvtepi8_epi16 wide::cvtepi8_epi16
#define _mm512_cvtepi8_epi32 wide::cvtepi8_epi32
#define _mm512_cvtepu8_epi32 wide::cvtepu8_epi32
#define _mm512_cvtepu16_epi32 wide::cvtepu16_epi32
#define _mm512_cvtph_ps wide::cvtph_ps
#define _mm512_cvttps_epi32 wide::cvttps_epi32
#define _mm512_dpbusd_epi32 wide::dpbusd_epi32
#define _mm512_dpwssd_epi32 wide::dpwssd_epi32
#undef _mm512_extractf32x4_ps
#define _mm512_extractf32x4_ps(v, i) wide::part<__m128>(v, i)
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps(v, i) wide::part<__m256>(v, i)
#define _mm512_fmadd_ps wide::fmadd_ps
#define _mm512_loadu_ps wide::loadu_ps
#define _mm512_loadu_si512 wide::loadu_si512
#define _mm512_mask_loadu_ps wide::load_masked<float>
#define _mm512_mask_storeu_ps wide::mask_storeu_ps
#define _mm512_maskz_compress_epi32(mask, v) (__m512i) wide::compress(mask, (wide::Dwords)(v))
#define _mm512_maskz_compress_ps(mask, v) (__m512) wide::compress(mask, (wide::Dwords)(v))
#define _mm512_maskz_loadu_epi8(mask, p) wide::load_masked<int8_t>(__m512i{}, mask, p)
#define _mm256_maskz_loadu_epi16(mask, p) wide::load_masked<int16_t>(__m256i{}, mask, p)
#define _mm_maskz_loadu_epi16(mask, p) wide::load_masked<int16_t>(__m128i{}, mask, p)
#define _mm_maskz_loadu_epi32(mask, p) wide::load_masked<int32_t>(__m128i{}, mask, p)
#define _mm512_permutex2var_epi64 wide::permutex2var_epi64
#define _mm512_permutexvar_epi64 wide::permutexvar_epi64
#define _mm512_permutexvar_epi32 wide::permutexvar_epi32
#define _mm512_reduce_add_epi32 wide::reduce_add_epi32
#define _mm512_reduce_max_epi32 wide::reduce_max_epi32
#define _mm512_set1_epi16 wide::set1_epi16
#define _mm512_set1_epi32 wide::set1_epi32
#define _mm512_set1_epi8 wide::set1_epi8
#define _mm512_set1_ps wide::set1_ps
#define _mm512_set_epi32 wide::set_epi32
#define _mm512_set_epi64 wide::set_epi64
#define _mm512_shuffle_epi8 wide::shuffle_epi8
#undef _mm512_slli_epi16
#define _mm512_slli_epi16 wide::slli_epi16
#undef _mm512_slli_epi32
#define _mm512_slli_epi32 wide::slli_epi32
#undef _mm512_srai_epi16
#define _mm512_srai_epi16 wide::srai_epi16
#undef _mm512_srli_epi16
#define _mm512_srlv_epi32 wide::srlv_epi32
#define _mm512_srli_epi16 wide::srli_epi16
#define _mm512_store_ps wide::storeu
#define _mm512_storeu_ps wide::storeu
#define _mm512_storeu_si512 wide::storeu
#define _mm512_unpackhi_epi16 wide::unpackhi_epi16
#define _mm512_unpackhi_epi32 wide::unpackhi_epi32
#define _mm512_unpackhi_epi64 wide::unpackhi_epi64
#define _mm512_unpackhi_epi8 wide::unpackhi_epi8
#define _mm512_unpackhi_pd wide::unpackhi_pd
#define _mm512_unpackhi_ps wide::unpackhi_ps
#define _mm512_unpacklo_epi16 wide::unpacklo_epi16
#define _mm512_unpacklo_epi32 wide::unpacklo_epi32
#define _mm512_unpacklo_epi64 wide::unpacklo_epi64
#define _mm512_unpacklo_epi8 wide::unpacklo_epi8
#define _mm512_unpacklo_pd wide::unpacklo_pd
#define _mm512_unpacklo_ps wide::unpacklo_ps
#define _mm512_xor_si512 wide::xor_si512
