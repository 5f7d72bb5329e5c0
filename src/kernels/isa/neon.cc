// NEON alone: Cortex-A53, A55 (old kernels), A72. Byte products go through 16-bit sums, which must
// not overflow.
#include <bit>

#include "base/cpu.h"
#include "kernels/isa/neon-inl.h"
#include "kernels/isa/tables.h"
#include "tensor/blocks.h"

namespace st {
namespace {

constexpr int kTileRun = 4;
constexpr int kDotRows = 1;

// Products of w and x in groups of four bytes, added to the lanes of v. Pairs reach
// 2 * 128 * 127 = 32512 as |x| <= 127.
ST_INLINE VecI dot4(VecI v, Bytes w, Bytes x) {
  const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x));
  const int16x8_t high = vmull_high_s8(w, x);
  return vpadalq_s16(v, vpaddq_s16(low, high));
}

ST_INLINE int16x8_t multiply_low(Bytes w, Bytes x) {
  return vmull_s8(vget_low_s8(w), vget_low_s8(x));
}
ST_INLINE int16x8_t add_low(int16x8_t v, Bytes w, Bytes x) {
  return vmlal_s8(v, vget_low_s8(w), vget_low_s8(x));
}

// Codes of 0..most, at most 63: four products fit into 16 bits, 4 * 63 * 127 = 32004; of 0..15 a
// whole block does, 16 * 15 * 127 = 30480.
template <int most>
struct CodeDots {
  using Dots = CodeDots;
  // Vectors of a tile whose products are added as words, which are then added by pairs.
  static constexpr int kTogether = int{std::bit_floor(32767u / (2 * 127 * most))};
  static constexpr bool kWordHalves = false;

  ST_INLINE static VecI dot(VecI v, Bytes w, Bytes x) { return dot4(v, w, x); }
  ST_INLINE static VecI dot_block(VecI v, Bytes low, Bytes high, Bytes x_low, Bytes x_high) {
    const int16x8_t first = vmlal_high_s8(multiply_low(low, x_low), low, x_low);
    return vpadalq_s16(v, vmlal_high_s8(add_low(first, high, x_high), high, x_high));
  }
  ST_INLINE static VecI dot_half(VecI v, Bytes w, Bytes x) {
    return vpadalq_s16(v, vmlal_high_s8(multiply_low(w, x), w, x));
  }
  template <int kBegin, int kEnd, int V>
  ST_INLINE static void dot_tiles(const uint8_t* const (&u)[1], const TileBlock (&xs)[V],
                                  VecI (&dots)[1][V]) {
    constexpr int kSome = kTogether < kEnd - kBegin ? kTogether : kEnd - kBegin;
    for (int some = kBegin; some < kEnd; some += kSome) {
      int16x8_t low[V] = {}, high[V] = {};  // tokens 0, 1 and 2, 3: four sums each
      for (int k = some; k < some + kSome; ++k) {
        const Bytes ws = splat_quad(u[0] + 4 * k);
        for (int v = 0; v < V; ++v) {
          low[v] = add_low(low[v], ws, xs[v][k]);
          high[v] = vmlal_high_s8(high[v], ws, xs[v][k]);
        }
      }
      for (int v = 0; v < V; ++v) {
        dots[0][v] = vpadalq_s16(dots[0][v], vpaddq_s16(low[v], high[v]));
      }
    }
  }
};

// Weights of -128..127: two products fit into 16 bits.
struct ByteDots {
  using Dots = ByteDots;

  ST_INLINE static VecI dot(VecI v, Bytes w, Bytes x) { return dot4(v, w, x); }
  ST_INLINE static VecI dot_block(VecI v, Bytes low, Bytes high, Bytes x_low, Bytes x_high) {
    v = vpadalq_s16(v, vmlal_high_s8(multiply_low(low, x_low), low, x_low));
    return vpadalq_s16(v, vmlal_high_s8(multiply_low(high, x_high), high, x_high));
  }
  template <int kBegin, int kEnd, int V>
  ST_INLINE static void dot_tiles(const uint8_t* const (&u)[1], const TileBlock (&xs)[V],
                                  VecI (&dots)[1][V]) {
    VecI low[V] = {}, high[V] = {};  // tokens 0, 1 and 2, 3: two sums each
    for (int k = kBegin; k < kEnd; k += 2) {
      const Bytes w0 = splat_quad(u[0] + 4 * k), w1 = splat_quad(u[0] + 4 * k + 4);
      for (int v = 0; v < V; ++v) {
        const Bytes x0 = xs[v][k], x1 = xs[v][k + 1];
        low[v] = vpadalq_s16(low[v], add_low(multiply_low(w0, x0), w1, x1));
        high[v] = vpadalq_s16(high[v], vmlal_high_s8(vmull_high_s8(w0, x0), w1, x1));
      }
    }
    for (int v = 0; v < V; ++v) dots[0][v] += vpaddq_s32(low[v], high[v]);
  }
};

}  // namespace
}  // namespace st

#include "kernels/generic/table-inl.h"

namespace st {
const KernelTable kNeon = make_table("neon", kCpuNeon);
}
