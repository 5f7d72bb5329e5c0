// Whole units of something.
#pragma once

#include <type_traits>

namespace st {

// n / unit, rounded up. REQUIRES: n >= 0, unit > 0; the same for round_up().
template <typename T>
constexpr T div_up(T n, std::type_identity_t<T> unit) {
  return (n + unit - 1) / unit;
}

// The first multiple of `unit` that is not below n.
template <typename T>
constexpr T round_up(T n, std::type_identity_t<T> unit) {
  return div_up(n, unit) * unit;
}

}  // namespace st
