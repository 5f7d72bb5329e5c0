// Sums of products of codes with activations, where a lane is an output and its four bytes are
// neurons: what a table's byte dot product does best.
#pragma once

namespace st {
namespace {

// Of W, a type of neurons-inl.h; a table may have others for some Dots.
template <typename W, typename Dots = typename W::Dots>
struct QuadSum {
  using Lanes = VecI;

  // What sums begin with: what W::kNeurons activations q, whose sum is `total`, take back.
  ST_INLINE static Lanes start(const int8_t* /*q*/, int total) {
    return splat(-W::kOffset * total);
  }
  ST_INLINE static Lanes add(Lanes sums, Bytes codes, Bytes quad) {
    sums = Dots::dot(sums, codes, quad);
    hide(sums);  // else GCC adds in another order and runs out of registers
    return sums;
  }
  ST_INLINE static VecI finish(Lanes sums, int /*total*/) { return sums; }
};

}  // namespace
}  // namespace st
