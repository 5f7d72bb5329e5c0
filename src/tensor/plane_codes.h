// Codes as bytes from and to the planes of a split matrix (planes.h).
#pragma once

#include <cstdint>

#include "tensor/bytes16.h"
#include "tensor/planes.h"

namespace st {

// The 32 codes of block b of a row of `blocks`.
template <Planes kPlanes>
void read_codes(const uint8_t* row, int64_t b, int64_t blocks, uint8_t* codes) {
  const auto in_chunk = static_cast<int>(b % kChunkBlocks);
  const uint8_t* chunk = row + b / kChunkBlocks * kPlanes.chunk_bytes();
  Bytes16 low{}, high{};  // of values 0 .. 16 and of the others
  if (kPlanes.nibbles) {
    const Bytes16 bits = load(chunk + 16 * in_chunk);
    low = bits & 15;
    high = bits >> 4;
  }
  if (kPlanes.pairs) {
    const Bytes16 bits =
        load(chunk + kPlanes.pairs_at() + 16 * (in_chunk / 2)) >> (4 * (in_chunk % 2));
    low |= (bits & 3) << kPlanes.pairs_up();
    high |= (bits >> 2 & 3) << kPlanes.pairs_up();
  }
  if (kPlanes.singles) {
    Bytes16 bits{};
    if (const int64_t last = blocks % kChunkBlocks; b < blocks - last) {
      bits = load(chunk + kPlanes.singles_at()) >> (2 * in_chunk);
    } else {
      const uint8_t* own = chunk + 16 * last + 4 * in_chunk;
      for (int j = 0; j < kBlock / 2; ++j) {
        bits[j] = static_cast<uint8_t>((own[j / 8] >> (j % 8) & 1) | (own[j / 8 + 2] >> (j % 8) & 1)
                                                                         << 1);
      }
    }
    low |= (bits & 1) << kPlanes.singles_up();
    high |= (bits >> 1 & 1) << kPlanes.singles_up();
  }
  store(codes, low);
  store(codes + kBlock / 2, high);
}

// A chunk, or the last one of a row, from the codes of its n blocks.
template <Planes kPlanes>
void write_codes(const uint8_t* codes, int n, uint8_t* chunk) {
  Bytes16 pairs[2] = {}, singles{};
  for (int b = 0; b < n; ++b) {
    const Bytes16 low = load(codes + kBlock * b), high = load(codes + kBlock * b + kBlock / 2);
    if (kPlanes.nibbles) store(chunk + 16 * b, (low & 15) | high << 4);
    if (kPlanes.pairs) {
      constexpr int kUp = kPlanes.pairs_up();
      pairs[b / 2] |= ((low >> kUp & 3) | (high >> kUp & 3) << 2) << (4 * (b % 2));
    }
    if (kPlanes.singles) {
      constexpr int kUp = kPlanes.singles_up();
      singles |= ((low >> kUp & 1) | (high >> kUp & 1) << 1) << (2 * b);
    }
  }
  for (int k = 0; k < 2 && kPlanes.pairs; ++k) store(chunk + kPlanes.pairs_at() + 16 * k, pairs[k]);
  if (!kPlanes.singles) return;
  if (n == kChunkBlocks) return store(chunk + kPlanes.singles_at(), singles);
  for (int b = 0; b < n; ++b) {
    for (int byte = 0; byte < 4; ++byte) {
      unsigned bits = 0;
      for (int i = 0; i < 8; ++i) {
        bits |= (codes[kBlock * b + 8 * byte + i] >> kPlanes.singles_up() & 1u) << i;
      }
      chunk[16 * n + 4 * b + byte] = static_cast<uint8_t>(bits);
    }
  }
}

}  // namespace st
