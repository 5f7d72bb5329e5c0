// The byte dot product of ARMv8.2 (Cortex-A55, A76 and later): four signed products a lane.

#include "kernels/isa/neon-inl.h"
#include "tensor/blocks.h"

namespace st {
namespace {

// Products of w and x in groups of four bytes, added to the lanes of v.
ST_INLINE VecI dot4(VecI v, Bytes w, Bytes x) { return vdotq_s32(v, w, x); }

struct SignedDots {
  static constexpr bool kWordHalves = false;

  ST_INLINE static VecI dot(VecI v, Bytes w, Bytes x) { return dot4(v, w, x); }
  ST_INLINE static VecI dot_block(VecI v, Bytes low, Bytes high, Bytes x_low, Bytes x_high) {
    return dot4(dot4(v, low, x_low), high, x_high);
  }
  ST_INLINE static VecI dot_half(VecI v, Bytes w, Bytes x) { return dot4(v, w, x); }
};

}  // namespace
}  // namespace st
