// Four floats at a time in terms of the compiler, which makes of them what the machine has. Each
// operation rounds as that of a single float does, so results are the same everywhere.
#pragma once

#include <cstring>

namespace st {

using Lanes = float __attribute__((vector_size(16)));
inline constexpr int kLanes = 4;

inline Lanes lanes(float v) { return Lanes{v, v, v, v}; }
inline Lanes load_lanes(const float* p) {
  Lanes v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline float sum_lanes(Lanes v) { return (v[0] + v[2]) + (v[1] + v[3]); }

// NaN gives `low`.
inline Lanes clamp_lanes(Lanes v, Lanes low, Lanes high) {
  v = v > low ? v : low;
  return v < high ? v : high;
}

// To the nearest integer, halves to the even one. REQUIRES: |v| < 2^22, or the result is of use to
// nobody.
inline Lanes round_lanes(Lanes v) {
  const Lanes shift = lanes(0x1.8p23f);  // where floats are integers
  return (v + shift) - shift;
}

}  // namespace st
