// y += a * w for one row of every weight type: what a sparse layer does for each active neuron.

#include "tensor/blocks.h"

namespace st {
namespace {

template <typename W>
void axpy_float(float a, const typename W::Value* w, int64_t n, float* y) {
  const VecF as = splat(a);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, fma(as, W::load(w + i, kLanes), load(y + i)));
  if (i < n) store(y + i, fma(as, W::load(w + i, n - i), load(y + i, n - i)), n - i);
}

void axpy_q8_0(float a, const BlockQ8_0* w, int64_t n, float* y) {
  for (int64_t b = 0; b < n / kBlock; ++b, y += kBlock) {
    const VecF d = splat(a * half(w[b].d));
    for (int i = 0; i < kBlock; i += kLanes) {
      store(y + i, fma(d, to_float(widen(w[b].qs + i)), load(y + i)));
    }
  }
}

void axpy_q4_0(float a, const BlockQ4_0* w, int64_t n, float* y) {
  for (int64_t b = 0; b < n / kBlock; ++b, y += kBlock) {
    const VecF d = splat(a * half(w[b].d));
    for (int i = 0; i < kBlock / 2; i += kLanes) {
      const VecI pairs = widen(w[b].qs + i);
      float* low = y + i;
      float* high = y + i + kBlock / 2;
      store(low, fma(d, to_float((pairs & 15) - 8), load(low)));
      store(high, fma(d, to_float((pairs >> 4) - 8), load(high)));
    }
  }
}

}  // namespace
}  // namespace st
