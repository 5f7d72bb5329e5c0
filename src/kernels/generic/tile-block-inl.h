// A block of the activations of one tile of tokens, kTileVecs vectors as pack_tiles() lays them
// out: loaded once, or where it is used, as suits the registers of the including file,
// kTune.hold_tiles.
#pragma once

#include <type_traits>

#include "tensor/blocks.h"

namespace st {
namespace {

constexpr int kTileVecs = kBlock / 4;  // kLanes * 32 bytes

// Loaded once for all rows: for sets of 32 registers.
struct HeldTileBlock {
  Bytes v[kTileVecs];

  HeldTileBlock() = default;
  ST_INLINE explicit HeldTileBlock(const int8_t* p) {
    for (int k = 0; k < kTileVecs; ++k) v[k] = load_bytes(p + k * kBytes, kBytes);
  }
  ST_INLINE Bytes operator[](int k) const { return v[k]; }
};

// Loaded where it is used, for a few rows at a time.
struct TileBlockInMemory {
  const int8_t* p = nullptr;

  TileBlockInMemory() = default;
  ST_INLINE explicit TileBlockInMemory(const int8_t* block) : p(block) {}
  ST_INLINE Bytes operator[](int k) const { return load_bytes(p + k * kBytes, kBytes); }
};

using TileBlock = std::conditional_t<kTune.hold_tiles, HeldTileBlock, TileBlockInMemory>;

}  // namespace
}  // namespace st
