// Codes of kBelow + kBits bits from two planes, for sets that shift words, not bytes: bits that
// come from the byte beside are masked out.
#pragma once

#include <cstdint>

namespace st {
namespace {

using Words = uint16_t __attribute__((vector_size(kBytes)));

// The lowest n bits of each byte, this far up.
constexpr uint16_t bits_of_bytes(int n, int up) {
  return static_cast<uint16_t>((((1 << n) - 1) << up) * 0x0101);
}

template <int kBelow, int kBits>
ST_INLINE Bytes join_low(Bytes v, Bytes top) {
  return (Bytes)(((Words)v & bits_of_bytes(kBelow, 0)) |
                 ((Words)top << kBelow & bits_of_bytes(kBits, kBelow)));
}
template <int kBelow, int kBits>
ST_INLINE Bytes join_high(Bytes v, Bytes top) {
  return (Bytes)(((Words)v >> kBelow & bits_of_bytes(kBelow, 0)) |
                 ((Words)top << (kBelow - kBits) & bits_of_bytes(kBits, kBelow)));
}

}  // namespace
}  // namespace st
