// Keys and values of the tokens seen so far: for every sequence, the tiles of its positions.
//
// Layers with the same window keep the same positions, so their tiles of 128 positions lie side by
// side in one chunk. A sequence has a table of chunks for each such group of layers; sequences that
// begin alike share them, each counted by its holders. A chunk is copied before its sequence
// appends to it while others hold it, and is given back to the system when nobody does. Layers with
// a window let go of chunks that no later query sees. Layers that read another layer's keys and
// values have no tiles.
//
// One owner calls all of it; store() and tiles() may be called concurrently.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/chunk_memory.h"
#include "kernels/kernels.h"
#include "model/config.h"
#include "tensor/kv_tile.h"

namespace st {

using SequenceId = int32_t;  // 0 .. sequences - 1; create() takes the smallest that is not in use

class KvPool {
 public:
  // A sequence has up to `context` positions. A pass appends at most `max_batch` to each; from
  // where it was longest it can go back so many, whatever the windows. REQUIRES: all are positive.
  KvPool(const ModelConfig& config, KvType type, int64_t context, int64_t sequences,
         int64_t max_batch, uint64_t page = page_size());

  // Throw Error(kInvalidUsage) for a sequence that does not exist or one too many, and for a
  // position that check_position() refuses.
  SequenceId create();
  SequenceId fork(SequenceId id, int64_t positions);  // a new one that begins with the same
  void truncate(SequenceId id, int64_t positions);    // forgets all later ones
  void erase(SequenceId id);
  int64_t length(SequenceId id) const { return at(id).length; }

  int64_t context() const { return context_; }
  int64_t most_back() const { return max_batch_; }  // that a sequence can go back in any case
  int64_t sequences() const;                        // that there are
  int64_t positions() const;                        // of all of them

  // The first position but 0 that a sequence can go back to: the windows before it are there.
  int64_t first_kept(SequenceId id) const;
  // Throws Error(kInvalidUsage) unless `position` is 0 or first_kept() .. length().
  void check_position(SequenceId id, int64_t position) const;

  // What chunks take that somebody holds. What they may come to take: of a sequence that shares
  // none with so many positions; more of this one by the time it has so many tokens more.
  uint64_t bytes_in_use() const;
  uint64_t bytes(int64_t positions) const;
  uint64_t bytes_to_append(SequenceId id, int64_t tokens) const;

  // A pass over the next `tokens` of a sequence: reserve() makes room, whatever was reserved
  // before; store() fills it; with commit() they count. truncate(id, length(id)) gives it back.
  // Throws Error(kInvalidUsage) beyond max_batch or the context. REQUIRES (commit): reserved.
  void reserve(SequenceId id, int64_t tokens);
  void commit(SequenceId id, int64_t tokens) { at(id).length += tokens; }

  // k, v: (K * d), the token's keys (rotated already) and values. REQUIRES: `position` is reserved,
  // the layer has keys and values of its own. Different positions may be stored concurrently.
  void store(const KernelTable& kernels, int64_t layer, SequenceId id, int64_t position,
             const float* k, const float* v);

  // Of the positions that are seen by queries from length() on.
  KvTiles tiles(int64_t layer, SequenceId id, int64_t head) const;
  const KvTile& tile() const { return tile_; }

  // A sequence as bytes: the tiles of each group of layers with the same window, in the order of
  // their first layers. Those of 128 positions lie side by side and are copied together.
  struct TileGroup {
    int64_t window;  // 0: all positions
    int64_t layers;
    uint64_t bytes;  // of a tile of each layer and head

    bool operator==(const TileGroup&) const = default;
  };
  std::vector<TileGroup> tile_groups() const;
  // The first tile of a group that a sequence holds; its last is that of position length() - 1.
  int64_t first_tile(SequenceId id, size_t group) const { return at(id).tables[group].first; }
  // Slots from length() on are zero in `out`, whatever they held. REQUIRES: the sequence holds it.
  void copy_tile(SequenceId id, size_t group, int64_t tile, std::span<std::byte> out) const;

  // A sequence becomes one of so many positions, whose tiles `fill` writes, by group and tile.
  // `first` says which is the first that there is of each group; not all of them are asked for.
  // Throws Error(kInvalidData) if a query at the end would see others, Error(kInvalidUsage) where
  // they are more than the context, and what `fill` throws; then the sequence is empty.
  using Fill = std::function<void(size_t group, int64_t tile, std::span<std::byte> out)>;
  void restore(SequenceId id, int64_t positions, std::span<const int64_t> first, const Fill& fill);

 private:
  // Layers with tiles that see as far back as each other.
  struct Group {
    int64_t seen;    // positions that a query sees, at most the context
    int64_t window;  // 0: all positions
    int64_t layers;
    int64_t most;        // chunks of a sequence
    ChunkMemory memory;  // (layers, K) tiles in a chunk
  };
  struct Place {
    size_t group;
    int64_t offset;  // in its chunks
  };
  // What a sequence holds of a group's chunks: [first, size) of the table.
  struct Table {
    std::vector<std::byte*> chunks;  // by tile_index(); null where they were let go
    int64_t first = 0;

    int64_t size() const { return static_cast<int64_t>(chunks.size()); }
    std::byte*& operator[](int64_t i) { return chunks[static_cast<size_t>(i)]; }
    std::byte* operator[](int64_t i) const { return chunks[static_cast<size_t>(i)]; }
  };
  struct Sequence {
    int64_t length = 0;
    std::vector<Table> tables;  // by group
  };

  const Sequence& at(SequenceId id) const;
  Sequence& at(SequenceId id) { return const_cast<Sequence&>(std::as_const(*this).at(id)); }
  const Place& place(int64_t layer) const { return places_[place_of_[static_cast<size_t>(layer)]]; }
  int64_t first_wanted(const Group& group, int64_t positions) const;
  bool copies_last(const Group& group, const Sequence& sequence, const Table& table) const;
  void let_go(Group& group, Table& table, int64_t begin, int64_t end);
  size_t group_bytes(const Group& group) const;
  static int64_t first_seen(const Group& group, int64_t positions);

  KvTile tile_;
  int64_t context_, kv_heads_, max_batch_;
  std::vector<size_t> place_of_;  // (L) which of the places
  std::vector<Place> places_;     // of the layers that have tiles, in their order
  std::vector<Group> groups_;
  std::vector<std::optional<Sequence>> sequences_;
};

}  // namespace st
