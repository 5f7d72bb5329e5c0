// Sequences as bytes: their tiles go out and come in.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "model/kv_pool.h"

namespace st {
namespace {

void clear_slots(const KvTile& tile, int64_t first, std::byte* to) {
  const auto bytes = static_cast<size_t>(tile.value_bytes());
  for (int64_t slot = first; slot < kTileKeys; ++slot) {
    std::memset(to + KvTile::key_scales() + slot * 4, 0, 4);
    std::memset(to + KvTile::value_scales() + slot * 4, 0, 4);
    for (int64_t c = 0; c < tile.head_dim; ++c) std::memset(to + tile.key_at(slot, c), 0, bytes);
    for (int64_t c = 0; c < tile.width(); ++c) std::memset(to + tile.value_at(slot, c), 0, bytes);
  }
}

}  // namespace

size_t KvPool::group_bytes(const Group& group) const {
  return static_cast<size_t>(group.layers * kv_heads_ * tile_.bytes());
}

std::vector<KvPool::TileGroup> KvPool::tile_groups() const {
  std::vector<TileGroup> groups;
  for (const Group& group : groups_) {
    groups.push_back({group.window, group.layers, group_bytes(group)});
  }
  return groups;
}

// The first tile that a query after so many positions sees.
int64_t KvPool::first_seen(const Group& group, int64_t positions) {
  return tile_index(std::max<int64_t>(0, positions - group.seen + 1));
}

void KvPool::copy_tile(SequenceId id, size_t group, int64_t tile, std::span<std::byte> out) const {
  const Sequence& sequence = at(id);
  std::memcpy(out.data(), sequence.tables[group][tile], out.size());
  const int64_t slots = sequence.length - tile * kTileKeys;
  if (slots >= kTileKeys) return;
  for (int64_t head = 0; head < groups_[group].layers * kv_heads_; ++head) {
    clear_slots(tile_, slots, out.data() + head * tile_.bytes());
  }
}

void KvPool::restore(SequenceId id, int64_t positions, std::span<const int64_t> first,
                     const Fill& fill) {
  truncate(id, 0);
  if (positions < 0 || positions > context_) {
    fail(ErrorCode::kInvalidUsage, "{} positions, want 0..{}", positions, context_);
  }
  for (size_t g = 0; g < groups_.size(); ++g) {
    const int64_t seen = first_seen(groups_[g], positions);
    if (positions > 0 && first[g] > seen) {
      fail(ErrorCode::kInvalidData, "layers with window {}: tiles from {} on, want {}",
           groups_[g].window, first[g], seen);
    }
  }
  Sequence& sequence = at(id);
  sequence.length = positions;
  try {
    for (size_t g = 0; g < groups_.size(); ++g) {
      Table& table = sequence.tables[g];
      table.first =
          std::min(tile_count(positions), std::max(first[g], first_wanted(groups_[g], positions)));
      table.chunks.resize(static_cast<size_t>(table.first));
      while (table.size() < tile_count(positions)) {
        table.chunks.push_back(groups_[g].memory.take());
        fill(g, table.size() - 1, {table.chunks.back(), group_bytes(groups_[g])});
      }
    }
  } catch (...) {
    truncate(id, 0);
    throw;
  }
}

}  // namespace st
