// How keys and values lie in the KV cache: tiles of 128 positions of one head, in the order in
// which attention multiplies them (kernels/generic/attention-inl.h), so that nobody rearranges
// anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace st {

// Integers stand for q * scale, with one scale for a position's key and one for its value. 16 bits
// cost as much precision as half-precision floats would (docs/correctness.md).
enum class KvType : uint8_t { kF32, kI16, kI8 };

std::string_view kv_type_name(KvType type);  // "i16"
// Also "f16" and "q8_0": what other programs call types of (nearly) these sizes.
std::optional<KvType> parse_kv_type(std::string_view name);

inline constexpr int64_t kTileKeys = 128;

// A position is in slot slot_index() of tile tile_index(); positions [0, n) are in tile_count(n).
constexpr int64_t tile_index(int64_t position) { return position / kTileKeys; }
constexpr int64_t slot_index(int64_t position) { return position % kTileKeys; }
constexpr int64_t tile_count(int64_t positions) { return (positions + kTileKeys - 1) / kTileKeys; }

inline constexpr int64_t kPanel = 64;  // columns; fewer in the last panel

// Number of the cell (row, column) of a matrix of cells in panels.
constexpr int64_t cell_at(int64_t row, int64_t column, int64_t rows, int64_t columns) {
  const int64_t first = column / kPanel * kPanel;
  const int64_t panel = columns - first < kPanel ? columns - first : kPanel;
  return first * rows + row * panel + column - first;
}

// A tile, one after the other, everything aligned to 64 bytes:
//   float scales of keys (128) and of values (128); unused for F32
//   keys (d / c, 128) cells of c channels of one position
//   values (128 / c, width) cells of c positions of one channel
// c is 1 for F32 and else 2: what an integer dot product adds up in one lane. Cells are in panels
// of 64 columns, one after the other, each read from end to end.
struct KvTile {
  KvType type;
  int64_t head_dim;  // d, even

  constexpr int64_t cell_values() const { return type == KvType::kF32 ? 1 : 2; }
  constexpr int64_t value_bytes() const {
    return type == KvType::kF32 ? 4 : type == KvType::kI16 ? 2 : 1;
  }
  constexpr int64_t width() const { return (head_dim + 15) / 16 * 16; }  // whole vectors

  // Bytes from the beginning of a tile.
  static constexpr int64_t key_scales() { return 0; }
  static constexpr int64_t value_scales() { return kTileKeys * 4; }
  static constexpr int64_t keys() { return kTileKeys * 8; }
  constexpr int64_t values() const { return keys() + kTileKeys * head_dim * value_bytes(); }
  constexpr int64_t bytes() const { return values() + kTileKeys * width() * value_bytes(); }

  // Where channel c of the key and of the value of the tile's position `slot` are.
  constexpr int64_t key_at(int64_t slot, int64_t c) const {
    const int64_t n = cell_values();
    return keys() + (cell_at(c / n, slot, head_dim / n, kTileKeys) * n + c % n) * value_bytes();
  }
  constexpr int64_t value_at(int64_t slot, int64_t c) const {
    const int64_t n = cell_values();
    return values() + (cell_at(slot / n, c, kTileKeys / n, width()) * n + slot % n) * value_bytes();
  }
};

// The tiles of one head of a sequence, wherever each lies.
struct KvTiles {
  const std::byte* const* chunks;  // by tile_index()
  int64_t offset;                  // of the head's tile in each

  const std::byte* tile(int64_t index) const { return chunks[index] + offset; }
};

}  // namespace st
