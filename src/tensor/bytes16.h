// Sixteen bytes at once, wherever they lie: what layouts are rearranged in.
#pragma once

#include <cstdint>
#include <cstring>

namespace st {

using Bytes16 = uint8_t __attribute__((vector_size(16)));

inline Bytes16 load(const uint8_t* p) {
  Bytes16 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(uint8_t* p, Bytes16 v) { std::memcpy(p, &v, sizeof v); }

}  // namespace st
