// Codes from two planes, for sets that shift words, not bytes: bits that come from the byte beside
// are masked out. spread_pairs<up>() and spread_singles<up>() put the bits of first halves at bit
// `up`, those of last halves behind them.
#pragma once

#include <cstdint>

namespace st {
namespace {

using Words = uint16_t __attribute__((vector_size(kBytes)));

// The lowest n bits of each byte, this far up.
constexpr uint16_t bits_of_bytes(int n, int up) {
  return static_cast<uint16_t>((((1 << n) - 1) << up) * 0x0101);
}

// top: what belongs above kBelow bits, in place for the low codes.
template <int kBelow, int kBits>
ST_INLINE void join(Bytes v, Bytes top, Bytes& low, Bytes& high) {
  constexpr uint16_t kLower = bits_of_bytes(kBelow, 0), kUpper = bits_of_bytes(kBits, kBelow);
  low = (Bytes)(((Words)v & kLower) | ((Words)top & kUpper));
  high = (Bytes)(((Words)v >> kBelow & kLower) | ((Words)top >> kBits & kUpper));
}
template <int kBelow>
ST_INLINE void join_pairs(Bytes v, const uint8_t* plane, int place, Bytes& low, Bytes& high) {
  join<kBelow, 2>(v, spread_pairs<kBelow>(plane, place), low, high);
}
template <int kBelow>
ST_INLINE void join_singles(Bytes v, Bytes16 plane, int place, Bytes& low, Bytes& high) {
  join<kBelow, 1>(v, spread_singles<kBelow>(plane, place), low, high);
}

}  // namespace
}  // namespace st
