// y += a * w for one row of floating-point weights.

namespace st {
namespace {

template <typename W>
void axpy_float(float a, const typename W::Value* w, int64_t n, float* y) {
  const VecF as = splat(a);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, fma(as, W::load(w + i, kLanes), load(y + i)));
  if (i < n) store(y + i, fma(as, W::load(w + i, n - i), load(y + i, n - i)), n - i);
}

}  // namespace
}  // namespace st
