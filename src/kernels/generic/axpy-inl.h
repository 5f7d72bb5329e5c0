// y += a * w for one row of floating-point weights, or of floats.
#pragma once

namespace st {
namespace {

template <typename W>
ST_INLINE void axpy_values(float a, const typename W::Value* w, int64_t n, float* y) {
  const VecF as = splat(a);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, fma(as, W::load(w + i, kLanes), load(y + i)));
  if (i < n) store(y + i, fma(as, W::load(w + i, n - i), load(y + i, n - i)), n - i);
}

template <typename W>
void axpy_float(float a, const std::byte* w, int64_t n, float* y) {
  axpy_values<W>(a, reinterpret_cast<const typename W::Value*>(w), n, y);
}

void axpy(float a, const float* x, int64_t n, float* y) { axpy_values<F32>(a, x, n, y); }

}  // namespace
}  // namespace st
