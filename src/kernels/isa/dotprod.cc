// NEON with dot products: Cortex-A55 and A76 and what came after them, up to 2021.
#include "base/cpu.h"
#include "kernels/isa/dotprod-inl.h"
#include "kernels/isa/tables.h"

namespace st {
namespace {

constexpr int kTileRun = 4;
constexpr int kDotRows = 1;

// The instruction takes the four weights from any lane of a register, so they need no broadcast.
struct LaneDots : SignedDots {
  using Dots = LaneDots;

  template <int kBegin, int kEnd, int V>
  ST_INLINE static void dot_tiles(const uint8_t* const (&u)[1], const TileBlock (&xs)[V],
                                  VecI (&dots)[1][V]) {
    for (int k = kBegin; k < kEnd; k += 4) {
      const Bytes ws = load16(u[0] + 4 * k);
      for (int v = 0; v < V; ++v) {
        VecI& sum = dots[0][v];
        sum = vdotq_laneq_s32(sum, xs[v][k], ws, 0);
        sum = vdotq_laneq_s32(sum, xs[v][k + 1], ws, 1);
        sum = vdotq_laneq_s32(sum, xs[v][k + 2], ws, 2);
        sum = vdotq_laneq_s32(sum, xs[v][k + 3], ws, 3);
      }
    }
  }
};
template <int most>
using CodeDots = LaneDots;
using ByteDots = LaneDots;

}  // namespace
}  // namespace st

#include "kernels/generic/table-inl.h"

namespace st {
const KernelTable kDotprod = make_table("dotprod", kCpuNeon | kCpuDotprod);
}
