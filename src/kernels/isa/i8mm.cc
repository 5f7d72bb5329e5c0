// NEON with matrix products: Cortex-A510, A710, X2 and later. Tokens one by one are left to the dot
// product; prompts are multiplied two rows by two tokens.
#include "base/cpu.h"
#include "kernels/isa/dotprod-inl.h"
#include "kernels/isa/tables.h"

namespace st {
namespace {

constexpr int kTileRun = 8;
constexpr int kDotRows = 2;

struct MatrixDots : SignedDots {
  using Dots = MatrixDots;

  template <int kBegin, int kEnd, int V>
  ST_INLINE static void dot_tiles(const uint8_t* const (&u)[2], const TileBlock (&xs)[V],
                                  VecI (&dots)[2][V]) {
    int32x4_t pairs[V][2] = {};  // tokens 0, 1 and 2, 3: row 0 in the low half, row 1 in the high
    for (int k = kBegin; k < kEnd; k += 4) {
      const int64x2_t a = vreinterpretq_s64_s8(load16(u[0] + 4 * k));
      const int64x2_t b = vreinterpretq_s64_s8(load16(u[1] + 4 * k));
      const Bytes first = vreinterpretq_s8_s64(vzip1q_s64(a, b));
      const Bytes second = vreinterpretq_s8_s64(vzip2q_s64(a, b));
      for (int v = 0; v < V; ++v) {
        for (int pair = 0; pair < 2; ++pair) {
          VecI& sum = pairs[v][pair];
          sum = vmmlaq_s32(sum, first, xs[v][k + pair]);
          sum = vmmlaq_s32(sum, second, xs[v][k + 2 + pair]);
        }
      }
    }
    for (int v = 0; v < V; ++v) {
      const int64x2_t a = vreinterpretq_s64_s32(pairs[v][0]);
      const int64x2_t b = vreinterpretq_s64_s32(pairs[v][1]);
      dots[0][v] += vreinterpretq_s32_s64(vzip1q_s64(a, b));
      dots[1][v] += vreinterpretq_s32_s64(vzip2q_s64(a, b));
    }
  }
};
template <int most>
using CodeDots = MatrixDots;
using ByteDots = MatrixDots;

}  // namespace
}  // namespace st

#include "kernels/generic/table-inl.h"

namespace st {
const KernelTable kI8mm = make_table("i8mm", kCpuNeon | kCpuDotprod | kCpuI8mm);
}
