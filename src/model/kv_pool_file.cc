// A sequence of a KvPool as bytes, all numbers little-endian:
//   8 characters "ST-KVSEQ", uint32 version 1, uint32 KvType
//   int64 layers L with tiles, key/value heads K, head dimension d; L x int64 window, 0: none
//   uint64 bytes of the identity; the identity
//   int64 length: positions
//   for each layer, the tiles that a query at position `length` sees, K heads of each: from that of
//     position max(0, length - window + 1) on; slots from `length` on are zero, whatever they held
//   uint64 checksum of everything before
#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "base/checksum.h"
#include "base/error.h"
#include "model/kv_pool.h"

namespace st {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they are");

constexpr char kMagic[8] = {'S', 'T', '-', 'K', 'V', 'S', 'E', 'Q'};
constexpr uint32_t kVersion = 1;

void clear_slots(const KvTile& tile, int64_t first, std::byte* to) {
  const auto bytes = static_cast<size_t>(tile.value_bytes());
  for (int64_t slot = first; slot < kTileKeys; ++slot) {
    std::memset(to + KvTile::key_scales() + slot * 4, 0, 4);
    std::memset(to + KvTile::value_scales() + slot * 4, 0, 4);
    for (int64_t c = 0; c < tile.head_dim; ++c) std::memset(to + tile.key_at(slot, c), 0, bytes);
    for (int64_t c = 0; c < tile.width(); ++c) std::memset(to + tile.value_at(slot, c), 0, bytes);
  }
}

template <typename T>
void expect(T got, T want, std::string_view what) {
  if (got != want) fail(ErrorCode::kInvalidData, "{} {}, want {}", what, got, want);
}

void check_begin(Reader& in) {
  char magic[sizeof kMagic];
  in.read(magic, sizeof magic, "magic");
  if (std::memcmp(magic, kMagic, sizeof magic) != 0) {
    fail(ErrorCode::kInvalidData, "not a saved sequence");
  }
  const auto version = in.get<uint32_t>("version");
  if (version != kVersion) {
    fail(ErrorCode::kUnsupported, "version {} of a saved sequence, want {}", version, kVersion);
  }
}

void check_identity(Reader& in, std::string_view want) {
  const auto bytes = in.get<uint64_t>("identity");
  if (bytes > KvPool::kMostIdentity) {
    fail(ErrorCode::kInvalidData, "identity of {} bytes, want at most {}", bytes,
         KvPool::kMostIdentity);
  }
  std::string identity(bytes, '\0');
  in.read(identity.data(), bytes, "identity");
  if (identity != want) {
    fail(ErrorCode::kInvalidData, "saved with model '{}', want '{}'", printable(identity),
         printable(want));
  }
}

}  // namespace

// The first tile that a query at position `length` sees.
int64_t KvPool::first_seen(const Place& at_layer, int64_t length) {
  const int64_t window = at_layer.window;
  return window == 0 ? 0 : tile_index(std::max<int64_t>(0, length - window + 1));
}

// All such tiles, of all layers.
uint64_t KvPool::seen_bytes(int64_t length) const {
  int64_t tiles = 0;
  for (const Place& at_layer : places_) tiles += tile_count(length) - first_seen(at_layer, length);
  return static_cast<uint64_t>(tiles * kv_heads_ * tile_.bytes());
}

void KvPool::save(SequenceId id, std::string_view identity, const Writer& write) const {
  if (identity.size() > kMostIdentity) {
    fail(ErrorCode::kInvalidUsage, "identity of {} bytes, want at most {}", identity.size(),
         kMostIdentity);
  }
  const Sequence& sequence = at(id);
  Checksum sum;
  const auto put = [&](std::span<const std::byte> bytes) {
    sum.add(bytes);
    write(bytes);
  };
  put(std::as_bytes(std::span(kMagic)));
  put(bytes_of(kVersion));
  put(bytes_of(static_cast<uint32_t>(tile_.type)));
  for (const int64_t number : {std::ssize(places_), kv_heads_, tile_.head_dim})
    put(bytes_of(number));
  for (const Place& at_layer : places_) put(bytes_of(at_layer.window));
  put(bytes_of(uint64_t{identity.size()}));
  put(std::as_bytes(std::span(identity)));
  put(bytes_of(sequence.length));

  const auto bytes = static_cast<size_t>(kv_heads_ * tile_.bytes());
  std::vector<std::byte> partial(bytes);
  for (const Place& at_layer : places_) {
    const Table& table = sequence.tables[at_layer.group];
    for (int64_t i = first_seen(at_layer, sequence.length); i < tile_count(sequence.length); ++i) {
      const std::span<const std::byte> tiles(table[i] + at_layer.offset, bytes);
      const int64_t slots = sequence.length - i * kTileKeys;
      if (slots >= kTileKeys) {
        put(tiles);
      } else {
        std::ranges::copy(tiles, partial.begin());
        for (int64_t head = 0; head < kv_heads_; ++head) {
          clear_slots(tile_, slots, partial.data() + head * tile_.bytes());
        }
        put(partial);
      }
    }
  }
  write(bytes_of(sum.value()));
}

void KvPool::check_shape(Reader& in) const {
  const auto type = in.get<uint32_t>("type");
  if (type > static_cast<uint32_t>(KvType::kI8)) {
    fail(ErrorCode::kInvalidData, "type {} of keys and values, want 0..2", type);
  }
  expect(kv_type_name(KvType{static_cast<uint8_t>(type)}), kv_type_name(tile_.type),
         "keys and values of type");
  expect(in.get<int64_t>("layers"), std::ssize(places_), "layers:");
  expect(in.get<int64_t>("key/value heads"), kv_heads_, "key/value heads:");
  expect(in.get<int64_t>("head dimension"), tile_.head_dim, "head dimension");
  for (size_t l = 0; l < places_.size(); ++l) {
    expect(in.get<int64_t>("windows"), places_[l].window, fmt::format("layer {}: window", l));
  }
}

SequenceId KvPool::restore(const ByteSource& source, std::string_view identity) {
  Reader in(source);
  check_begin(in);
  check_shape(in);
  check_identity(in, identity);
  const auto length = in.get<int64_t>("length");
  if (length < 0 || length > context_) {
    fail(ErrorCode::kInvalidData, "{} positions, want 0..{}", length, context_);
  }
  const uint64_t size = in.position() + seen_bytes(length) + sizeof(uint64_t);
  if (source.size() != size) {
    fail(ErrorCode::kInvalidData, "{} bytes for {} positions, want {}", source.size(), length,
         size);
  }
  const SequenceId id = create();
  try {
    at(id).length = length;
    read_tiles(source, in.position(), at(id));
  } catch (...) {
    erase(id);
    throw;
  }
  return id;
}

// `offset`: where the first tile is, in a file of the right size.
void KvPool::read_tiles(const ByteSource& source, uint64_t offset, Sequence& sequence) {
  for (const Place& at_layer : places_) {
    Table& table = sequence.tables[at_layer.group];
    if (table.size() > 0) continue;  // of an earlier layer of the group
    table.first = first_seen(at_layer, sequence.length);
    table.chunks.resize(static_cast<size_t>(table.first));
    while (table.size() < tile_count(sequence.length)) {
      table.chunks.push_back(groups_[at_layer.group].memory.take());
    }
  }
  std::vector<std::byte> head(offset);
  source.read_at(0, head);
  Checksum sum;
  sum.add(head);
  for (const Place& at_layer : places_) {
    Table& table = sequence.tables[at_layer.group];
    for (int64_t i = table.first; i < table.size(); ++i) {
      const std::span tiles(table[i] + at_layer.offset,
                            static_cast<size_t>(kv_heads_ * tile_.bytes()));
      source.read_at(offset, tiles);
      sum.add(tiles);
      offset += tiles.size();
    }
  }
  uint64_t want = 0;
  source.read_at(offset, std::as_writable_bytes(std::span(&want, 1)));
  if (sum.value() != want) {
    fail(ErrorCode::kInvalidData, "checksum {:016x}, want {:016x}: the file is damaged",
         sum.value(), want);
  }
}

}  // namespace st
