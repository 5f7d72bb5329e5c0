#include "model/kv_pool.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/round.h"

namespace st {

KvPool::KvPool(const ModelConfig& config, KvType type, int64_t context, int64_t sequences,
               int64_t max_batch, uint64_t page)
    : tile_{type, config.head_dim},
      context_(context),
      kv_heads_(config.kv_heads),
      max_batch_(max_batch),
      sequences_(static_cast<size_t>(sequences)) {
  const int64_t layer_bytes = kv_heads_ * tile_.bytes();
  std::vector<int64_t> seen, windows, layers;  // by group
  for (const LayerConfig& layer : config.layer) {
    if (!layer.owns_kv()) {
      place_of_.push_back(place_of_[static_cast<size_t>(layer.kv_layer)]);
      continue;
    }
    const auto group =
        static_cast<size_t>(std::ranges::find(windows, layer.window) - windows.begin());
    if (group == windows.size()) {
      windows.push_back(layer.window);
      seen.push_back(layer.window == 0 ? context : std::min(layer.window, context));
      layers.push_back(0);
    }
    place_of_.push_back(places_.size());
    places_.push_back({group, layers[group]++ * layer_bytes});
  }
  for (size_t i = 0; i < windows.size(); ++i) {
    // The first token of a batch still sees window - 1 positions before it when the last is stored:
    // so many positions, wherever they begin, are in at most so many tiles.
    const int64_t span = seen[i] + max_batch - 1;
    const int64_t most = std::min(tile_count(context), div_up(span - 1, kTileKeys) + 1);
    const auto bytes = static_cast<uint64_t>(layers[i] * layer_bytes);
    groups_.push_back(
        {seen[i], windows[i], layers[i], most, ChunkMemory(bytes, sequences * most, page)});
  }
}

const KvPool::Sequence& KvPool::at(SequenceId id) const {
  const auto i = static_cast<size_t>(id);
  if (i >= sequences_.size() || !sequences_[i]) {
    fail(ErrorCode::kInvalidUsage, "sequence {}: there is none", id);
  }
  return *sequences_[i];
}

// ---- Sequences ----

SequenceId KvPool::create() {
  const auto free =
      std::ranges::find_if(sequences_, [](const auto& sequence) { return !sequence; });
  if (free == sequences_.end()) {
    fail(ErrorCode::kInvalidUsage, "all {} sequences are in use", sequences_.size());
  }
  free->emplace().tables.resize(groups_.size());
  return static_cast<SequenceId>(free - sequences_.begin());
}

SequenceId KvPool::fork(SequenceId id, int64_t positions) {
  check_position(id, positions);
  const SequenceId copy = create();
  Sequence& to = at(copy);
  to = at(id);
  to.length = positions;
  for (size_t g = 0; g < groups_.size(); ++g) {
    Table& table = to.tables[g];
    table.chunks.resize(static_cast<size_t>(tile_count(positions)));
    if (positions == 0) table.first = 0;
    for (int64_t i = table.first; i < table.size(); ++i) groups_[g].memory.hold(table[i]);
  }
  return copy;
}

void KvPool::truncate(SequenceId id, int64_t positions) {
  check_position(id, positions);
  Sequence& sequence = at(id);
  const int64_t tiles = tile_count(positions);
  for (size_t g = 0; g < groups_.size(); ++g) {
    Table& table = sequence.tables[g];
    let_go(groups_[g], table, std::max(tiles, table.first), table.size());
    table.chunks.resize(static_cast<size_t>(tiles));
    if (positions == 0) table.first = 0;
  }
  sequence.length = positions;
}

void KvPool::erase(SequenceId id) {
  truncate(id, 0);
  sequences_[static_cast<size_t>(id)].reset();
}

void KvPool::let_go(Group& group, Table& table, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    group.memory.let_go(std::exchange(table[i], nullptr));
  }
}

int64_t KvPool::sequences() const {
  return std::ranges::count_if(sequences_,
                               [](const auto& sequence) { return sequence.has_value(); });
}

int64_t KvPool::positions() const {
  int64_t sum = 0;
  for (const auto& sequence : sequences_) sum += sequence ? sequence->length : 0;
  return sum;
}

// ---- Positions ----

// The first tile that is needed to go back max_batch from so many positions.
int64_t KvPool::first_wanted(const Group& group, int64_t positions) const {
  return tile_index(std::max<int64_t>(0, positions - max_batch_ - group.seen + 1));
}

int64_t KvPool::first_kept(SequenceId id) const {
  int64_t kept = 0;
  const Sequence& sequence = at(id);
  for (size_t g = 0; g < groups_.size(); ++g) {
    const int64_t first = sequence.tables[g].first;
    if (first > 0) kept = std::max(kept, first * kTileKeys + groups_[g].seen - 1);
  }
  return kept;
}

void KvPool::check_position(SequenceId id, int64_t position) const {
  const int64_t end = length(id), kept = first_kept(id);
  if (position == 0 || (position >= kept && position <= end)) return;
  fail(ErrorCode::kInvalidUsage, "sequence {}: position {}: it holds {} positions, want {}{}..{}",
       id, position, end, kept > 0 ? "0 or " : "", kept, end);
}

// ---- Memory ----

uint64_t KvPool::bytes_in_use() const {
  uint64_t bytes = 0;
  for (const Group& group : groups_) bytes += group.memory.bytes_in_use();
  return bytes;
}

uint64_t KvPool::bytes(int64_t positions) const {
  uint64_t bytes = 0;
  for (const Group& group : groups_) {
    const int64_t chunks = std::min(tile_count(positions), group.most);
    bytes += static_cast<uint64_t>(chunks) * group.memory.chunk_bytes();
  }
  return bytes;
}

// Whether it has to have its last chunk for itself before it appends.
bool KvPool::copies_last(const Group& group, const Sequence& sequence, const Table& table) const {
  const int64_t last = tile_index(sequence.length);
  return last < table.size() && group.memory.shared(table[last]);
}

uint64_t KvPool::bytes_to_append(SequenceId id, int64_t tokens) const {
  uint64_t bytes = 0;
  const Sequence& sequence = at(id);
  for (size_t g = 0; g < groups_.size(); ++g) {
    const Group& group = groups_[g];
    const Table& table = sequence.tables[g];
    int64_t chunks = std::max<int64_t>(0, tile_count(sequence.length + tokens) - table.size());
    if (copies_last(group, sequence, table)) ++chunks;
    int64_t own = 0;
    for (int64_t i = table.first; i < table.size(); ++i) own += !group.memory.shared(table[i]);
    bytes += static_cast<uint64_t>(std::min(chunks, group.most - own)) * group.memory.chunk_bytes();
  }
  return bytes;
}

// ---- A pass ----

void KvPool::reserve(SequenceId id, int64_t tokens) {
  Sequence& sequence = at(id);
  const int64_t end = sequence.length + tokens;
  if (tokens < 1 || tokens > max_batch_ || end > context_) {
    fail(ErrorCode::kInvalidUsage, "sequence {}: {} tokens after {}: want 1..{}", id, tokens,
         sequence.length, std::min(max_batch_, context_ - sequence.length));
  }
  for (size_t g = 0; g < groups_.size(); ++g) {
    Group& group = groups_[g];
    Table& table = sequence.tables[g];
    // At the end of the pass, which is also as far as anybody can go back if it fails.
    const int64_t first = std::max(table.first, first_wanted(group, end));
    let_go(group, table, table.first, first);
    table.first = first;
    if (copies_last(group, sequence, table)) {
      std::byte*& last = table[tile_index(sequence.length)];
      std::byte* const copy = group.memory.take();
      std::memcpy(copy, last, group_bytes(group));
      group.memory.let_go(std::exchange(last, copy));
    }
    while (table.size() < tile_count(end)) table.chunks.push_back(group.memory.take());
  }
}

void KvPool::store(const KernelTable& kernels, int64_t layer, SequenceId id, int64_t position,
                   const float* k, const float* v) {
  const Place& at_layer = place(layer);
  const Sequence& sequence = *sequences_[static_cast<size_t>(id)];
  std::byte* const tiles = sequence.tables[at_layer.group][tile_index(position)] + at_layer.offset;
  for (int64_t head = 0; head < kv_heads_; ++head) {
    kernels.store_kv(tile_, k + head * tile_.head_dim, v + head * tile_.head_dim,
                     slot_index(position), tiles + head * tile_.bytes());
  }
}

KvTiles KvPool::tiles(int64_t layer, SequenceId id, int64_t head) const {
  const Place& at_layer = place(layer);
  const Sequence& sequence = *sequences_[static_cast<size_t>(id)];
  return {sequence.tables[at_layer.group].chunks.data(), at_layer.offset + head * tile_.bytes()};
}

}  // namespace st
