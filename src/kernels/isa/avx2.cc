// AVX2: its byte dot product goes through 16-bit pairs, which must not overflow.
#include <bit>

#include "base/cpu.h"
#include "kernels/isa/tables.h"
#include "kernels/isa/x86-256-inl.h"

namespace st {
namespace {

// Products of pairs of 16-bit integers, added to the lanes of v.
ST_INLINE VecI dot2(VecI v, Bytes a, Bytes b) { return v + (VecI)_mm256_madd_epi16(a, b); }

// Products of u and s in groups of four bytes, added to the lanes of v. No pair of products may
// exceed 32767, which holds for codes.
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
#include "kernels/generic/quad-sum-inl.h"

namespace st {
namespace {

// Sums of words, each of so many products of codes of 0..most, and what their sum begins with.
template <int products, int most>
struct CodeSum {
  __m256i words;
  VecI start;
};

// Sums of neighbours in parts: first all of p, a lane each, then all of q, and so on by turns.
ST_INLINE __m256i add_lanes(__m256i p, __m256i q) {
  return _mm256_add_epi16(_mm256_unpacklo_epi32(p, q), _mm256_unpackhi_epi32(p, q));
}
ST_INLINE __m256i add_pairs_of_lanes(__m256i p, __m256i q) {
  return _mm256_add_epi16(_mm256_unpacklo_epi64(p, q), _mm256_unpackhi_epi64(p, q));
}

// Products of codes of 0..most are added as words as long as these hold them, then widened: of
// 0..15 a whole block fits into 16 bits, 16 * 15 * 127 = 30480.
template <int most>
struct CodeDots : DotsByFour<dot4> {
  using Dots = CodeDots;
  // Of a token's pairs in a tile, a power of two.
  static constexpr int kWordPairs = int{std::bit_floor(32767u / (2 * 127 * most))};
  static constexpr bool kWordHalves = 16 * 127 * most <= 32767;

  ST_INLINE static CodeSum<4, most> dot_block(VecI start, Bytes low, Bytes high, Bytes x_low,
                                              Bytes x_high) {
    return {_mm256_add_epi16(_mm256_maddubs_epi16(low, x_low), _mm256_maddubs_epi16(high, x_high)),
            start};
  }
  ST_INLINE static CodeSum<2, most> dot_half(VecI start, Bytes w, Bytes x) {
    return {_mm256_maddubs_epi16(w, x), start};
  }

  template <typename W>
  ST_INLINE static Bytes sum_halves(Bytes start, const W (&ws)[4], Bytes x_low, Bytes x_high) {
    const auto halves_of = [&](const W& w) {
      const __m256i low = _mm256_maddubs_epi16(w.low, x_low);
      const __m256i high = _mm256_maddubs_epi16(w.high, x_high);
      return _mm256_add_epi16(_mm256_unpacklo_epi16(low, high), _mm256_unpackhi_epi16(low, high));
    };
    const __m256i words = add_pairs_of_lanes(add_lanes(halves_of(ws[0]), halves_of(ws[1])),
                                             add_lanes(halves_of(ws[2]), halves_of(ws[3])));
    return _mm256_add_epi16(start, words);
  }

  template <int kBegin, int kEnd, int R, int V>
  ST_INLINE static void dot_tiles(const uint8_t* const (&u)[R], const TileBlock (&xs)[V],
                                  VecI (&dots)[R][V]) {
    constexpr int kTogether = kWordPairs < kEnd - kBegin ? kWordPairs : kEnd - kBegin;
    __m256i words[R][V];
#pragma GCC unroll 8
    for (int k = kBegin; k < kEnd; ++k) {
      const bool first = (k - kBegin) % kTogether == 0, last = (k + 1 - kBegin) % kTogether == 0;
      Bytes x[V];
      for (int v = 0; v < V; ++v) x[v] = xs[v][k];
      for (int r = 0; r < R; ++r) {
        const Bytes ws = splat_quad(u[r] + 4 * k);
        for (int v = 0; v < V; ++v) {
          const __m256i products = _mm256_maddubs_epi16(ws, x[v]);
          words[r][v] = first ? products : _mm256_add_epi16(words[r][v], products);
          hide(words[r][v]);  // else GCC adds in another order and runs out of registers
        }
      }
      if (!last) continue;
      for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) {
          dots[r][v] = dot2(dots[r][v], words[r][v], _mm256_set1_epi16(1));
        }
      }
    }
  }
};
using ByteDots = DotsByFour<dot_q8>;

// Sums of columns stay words: of each quad of neurons, two products in either word of a lane. Codes
// that would not fit lose the middle of their range: what overflows on the way comes back.
template <typename W, int most>
struct QuadSum<W, CodeDots<most>> {
  using Lanes = __m256i;
  static constexpr int kProducts = W::kNeurons / 2;
  static constexpr bool kFits = W::kOffset == 0 && kProducts * most * 127 <= 32767;
  static constexpr int kTaken = W::kOffset != 0 || kFits ? W::kOffset : (most + 1) / 2;
  static_assert(kFits || kProducts * kTaken * 127 <= 32767);
  static_assert(kFits || most - kTaken <= kTaken);

  ST_INLINE static Lanes start(const int8_t* q, int /*total*/) {
    __m256i words = _mm256_setzero_si256();
    if (kTaken == 0) return words;
    for (int i = 0; i < W::kNeurons; i += 4) {
      words = _mm256_sub_epi16(words,
                               _mm256_maddubs_epi16(_mm256_set1_epi8(kTaken), splat_quad(q + i)));
    }
    return words;
  }
  ST_INLINE static Lanes add(Lanes sums, Bytes codes, Bytes quad) {
    sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(codes, quad));
    hide(sums);  // else GCC adds in another order and runs out of registers
    return sums;
  }
  ST_INLINE static VecI finish(Lanes sums, int total) {
    const VecI start = kTaken == W::kOffset ? VecI{} : splat((kTaken - W::kOffset) * total);
    return dot2(start, sums, _mm256_set1_epi16(1));
  }
};

// The same as for lanes of 32 bits, which `start` is meant for: a quarter of it in each.
template <int products, int most>
ST_INLINE VecI sum_quads(const CodeSum<products, most>& a, const CodeSum<products, most>& b,
                         const CodeSum<products, most>& c, const CodeSum<products, most>& d) {
  constexpr int kMost = 32767 / (127 * most);  // products that a word holds
  static_assert(2 * products <= kMost);
  const __m256i ab = add_lanes(a.words, b.words), cd = add_lanes(c.words, d.words);
  const __m256i ones = _mm256_set1_epi16(1);
  if constexpr (4 * products <= kMost) {
    return dot2(a.start << 2, add_pairs_of_lanes(ab, cd), ones);
  }
  const __m256i wide_ab = _mm256_madd_epi16(ab, ones), wide_cd = _mm256_madd_epi16(cd, ones);
  return (a.start << 2) + (VecI)_mm256_unpacklo_epi64(wide_ab, wide_cd) +
         (VecI)_mm256_unpackhi_epi64(wide_ab, wide_cd);
}

}  // namespace
}  // namespace st

// Needs the above:
#include "kernels/generic/table-inl.h"

namespace st {
const KernelTable kAvx2 = make_table("avx2", kCpuAvx2);
}
