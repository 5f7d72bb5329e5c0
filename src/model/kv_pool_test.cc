// The pool of keys and values against a plain copy of all that was stored.
#include "model/kv_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "kernels/kernels.h"
#include "support/bytes.h"
#include "support/scale.h"

namespace st {
namespace {

using namespace testkit;

struct Shape {
  KvType type = KvType::kF32;
  int64_t head_dim = 2, kv_heads = 1;
  std::vector<int64_t> windows = {0};  // of layers with tiles, 0: all positions
  std::vector<int64_t> readers = {};   // of layers after those: the layer whose tiles they read
  int64_t context = 512, sequences = 2, max_batch = 8;
  uint64_t page = 4096;

  ModelConfig config() const {
    ModelConfig c;
    c.layers = std::ssize(windows) + std::ssize(readers);
    c.kv_heads = kv_heads;
    c.head_dim = head_dim;
    for (const int64_t window : windows) c.layer.push_back({.window = window});
    for (const int64_t l : readers) {
      c.layer.push_back({.window = windows[static_cast<size_t>(l)], .kv_layer = l});
    }
    return c;
  }
  KvPool pool() const { return {config(), type, context, sequences, max_batch, page}; }
  int64_t chunk_bytes(int64_t window) const {
    const int64_t tiles = kv_heads * std::ranges::count(windows, window);
    const auto whole = static_cast<int64_t>(page);
    return (tiles * KvTile{type, head_dim}.bytes() + whole - 1) / whole * whole;
  }
  int64_t layers() const { return std::ssize(windows); }  // with tiles
  // The layers that read those of layer `l`, itself included.
  std::vector<int64_t> readers_of(int64_t l) const {
    std::vector<int64_t> all = {l};
    for (size_t i = 0; i < readers.size(); ++i) {
      if (readers[i] == l) all.push_back(layers() + static_cast<int64_t>(i));
    }
    return all;
  }
};

// What a slot of a tile holds: scales, a key and a value. visit(at, bytes) for each part.
void for_each_part(const KvTile& tile, int64_t slot, auto&& visit) {
  visit(KvTile::key_scales() + slot * 4, int64_t{4});
  visit(KvTile::value_scales() + slot * 4, int64_t{4});
  for (int64_t c = 0; c < tile.head_dim; ++c) {
    visit(tile.key_at(slot, c), tile.value_bytes());
    visit(tile.value_at(slot, c), tile.value_bytes());
  }
}

// Stores random keys and values; returns what should be stored, all layers and heads.
class Storing {
 public:
  Storing(const Shape& shape, KvPool& pool, uint64_t seed)
      : shape_(shape), pool_(pool), tile_{shape.type, shape.head_dim}, random_(seed) {
    scratch_.resize(static_cast<size_t>(tile_.bytes()));
    k_.resize(static_cast<size_t>(shape.kv_heads * shape.head_dim));
    v_.resize(k_.size());
  }

  std::string operator()(SequenceId id, int64_t position) {
    std::string record;
    const auto d = static_cast<size_t>(shape_.head_dim);
    const int64_t slot = slot_index(position);
    for (int64_t layer = 0; layer < shape_.layers(); ++layer) {
      for (float& x : k_) x = number();
      for (float& x : v_) x = number();
      pool_.store(kernels_, layer, id, position, k_.data(), v_.data());
      for (size_t head = 0; head < static_cast<size_t>(shape_.kv_heads); ++head) {
        kernels_.store_kv(tile_, &k_[head * d], &v_[head * d], slot, scratch_.data());
        for_each_part(tile_, slot, [&](int64_t at, int64_t bytes) {
          record.append(reinterpret_cast<const char*>(&scratch_[static_cast<size_t>(at)]),
                        static_cast<size_t>(bytes));
        });
      }
    }
    return record;
  }

 private:
  float number() { return static_cast<float>(static_cast<int32_t>(random_())) * 1e-6f; }

  const Shape& shape_;
  KvPool& pool_;
  KvTile tile_;
  const KernelTable& kernels_ = pick_kernels();
  std::mt19937 random_;
  std::vector<std::byte> scratch_;
  std::vector<float> k_, v_;
};

// Whether a sequence has this record of a position in a layer, if a window of that many is seen.
bool has_record(const Shape& shape, const KvPool& pool, SequenceId id, int64_t layer,
                int64_t position, const char* record) {
  bool same = true;
  for (int64_t head = 0; head < shape.kv_heads; ++head) {
    const std::byte* tile = pool.tiles(layer, id, head).tile(tile_index(position));
    for_each_part(pool.tile(), slot_index(position), [&](int64_t at, int64_t bytes) {
      same = same && std::memcmp(tile + at, record, static_cast<size_t>(bytes)) == 0;
      record += bytes;
    });
  }
  return same;
}

// A sequence as its tiles.
struct Saved {
  int64_t positions = 0;
  std::vector<int64_t> first;                                 // by group
  std::map<std::pair<size_t, int64_t>, std::string> tiles{};  // by group and tile

  bool operator==(const Saved&) const = default;
};

Saved saved(const KvPool& pool, SequenceId id) {
  Saved all{pool.length(id), {}};
  const auto groups = pool.tile_groups();
  for (size_t g = 0; g < groups.size(); ++g) {
    all.first.push_back(pool.first_tile(id, g));
    for (int64_t i = all.first[g]; i < tile_count(all.positions); ++i) {
      std::string& bytes = all.tiles[{g, i}];
      bytes.resize(groups[g].bytes);
      pool.copy_tile(id, g, i, std::as_writable_bytes(std::span(bytes)));
    }
  }
  return all;
}

SequenceId restored(KvPool& pool, const Saved& all) {
  const SequenceId id = pool.create();
  pool.restore(id, all.positions, all.first, [&](size_t g, int64_t i, std::span<std::byte> out) {
    std::memcpy(out.data(), all.tiles.at({g, i}).data(), out.size());
  });
  return id;
}

// A piece of memory that there should be.
struct Piece {
  Piece(int64_t bytes, int64_t& all) : bytes_(bytes), all_(all) { all_ += bytes_; }
  ~Piece() { all_ -= bytes_; }
  Piece(const Piece&) = delete;
  Piece& operator=(const Piece&) = delete;

 private:
  int64_t bytes_;
  int64_t& all_;
};

// A sequence as it should be.
struct Copy {
  struct Pieces {
    std::vector<std::shared_ptr<Piece>> at;  // by tile; null: let go
    int64_t first = 0;                       // of those that were not
  };
  std::vector<std::string> records;  // by position
  std::map<int64_t, Pieces> pieces;  // by window
  int64_t longest = 0;               // that it was, or was to be, since it was empty

  int64_t length() const { return std::ssize(records); }
};

class KvPoolModel : public testing::TestWithParam<Shape> {
 protected:
  void run(int64_t operations) {
    for (int64_t i = 0; i < operations && !HasFatalFailure(); ++i) {
      step();
      ASSERT_EQ(pool.bytes_in_use(), static_cast<uint64_t>(bytes)) << "operation " << i;
    }
    while (!copies.empty() && !HasFatalFailure()) erase(copies.begin()->first);
    EXPECT_EQ(pool.bytes_in_use(), 0u);
  }

  int64_t below(int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); }
  SequenceId any() { return std::next(copies.begin(), below(std::ssize(copies)))->first; }

  void step() {
    const int64_t what = copies.empty() ? 99 : below(100);
    const bool full = std::ssize(copies) == shape.sequences;
    if (what < 70) return append(any());
    if (what < 85) return truncate(any());
    if (what < 88 || (full && what < 96)) return erase(any());
    if (!full && what < 94) return fork(any());
    if (!full && what < 95) return save_and_restore(any());
    create();
  }

  void create() {
    if (std::ssize(copies) == shape.sequences) {
      ASSERT_EQ(error_of([&] { pool.create(); }),
                fmt::format("all {} sequences are in use", shape.sequences));
      return;
    }
    const SequenceId id = pool.create();
    ASSERT_FALSE(copies.contains(id));
    for (const int64_t window : shape.windows) copies[id].pieces[window];
  }

  // Everything that is seen by queries from the first position on that may be gone back to.
  void check(SequenceId id) {
    const Copy& copy = copies.at(id);
    ASSERT_EQ(pool.length(id), copy.length());
    const int64_t kept = pool.first_kept(id);
    ASSERT_EQ(kept, kept_of(copy));
    size_t at = 0;
    for (int64_t l = 0; l < shape.layers(); ++l) {
      const int64_t window = shape.windows[static_cast<size_t>(l)];
      const int64_t first = window == 0 ? 0 : std::max<int64_t>(0, kept - window + 1);
      for (int64_t p = first; p < copy.length(); ++p) {
        const char* record = copy.records[static_cast<size_t>(p)].data() + at;
        for (const int64_t reader : shape.readers_of(l)) {
          ASSERT_TRUE(has_record(shape, pool, id, reader, p, record))
              << id << ' ' << reader << ' ' << p;
        }
      }
      at += layer_bytes;
    }
  }

  static int64_t kept_of(const Copy& copy) {
    int64_t kept = 0;
    for (const auto& [window, pieces] : copy.pieces) {
      if (pieces.first > 0) kept = std::max(kept, pieces.first * 128 + window - 1);
    }
    return kept;
  }

  void append(SequenceId id) {
    Copy& copy = copies.at(id);
    const int64_t begin = copy.length();
    const int64_t most = std::min(shape.max_batch, shape.context - begin);
    const int64_t tokens = 1 + below(below(4) ? 8 : shape.max_batch);
    const uint64_t promised = pool.bytes_in_use() + pool.bytes_to_append(id, tokens);
    if (tokens > most) {
      ASSERT_EQ(
          error_of([&] { pool.reserve(id, tokens); }),
          fmt::format("sequence {}: {} tokens after {}: want 1..{}", id, tokens, begin, most));
      return truncate(id);
    }
    pool.reserve(id, tokens);
    ASSERT_LE(pool.bytes_in_use(), promised);
    reserve(copy, begin + tokens);
    const bool fails = below(20) == 0;
    std::vector<std::string> records;
    for (int64_t i = 0; i < tokens; ++i) records.push_back(storing(id, begin + i));
    if (fails) {
      pool.truncate(id, begin);
      return cut(copy, begin);
    }
    pool.commit(id, tokens);
    std::ranges::move(records, std::back_inserter(copy.records));
    ASSERT_LE(pool.first_kept(id), std::max<int64_t>(0, copy.longest - shape.max_batch));
  }

  void reserve(Copy& copy, int64_t end) {
    copy.longest = std::max(copy.longest, end);
    for (auto& [window, pieces] : copy.pieces) {
      if (window > 0) {
        const int64_t first = std::max<int64_t>(0, end - shape.max_batch - window + 1) / 128;
        for (; pieces.first < first; ++pieces.first) {
          pieces.at[static_cast<size_t>(pieces.first)].reset();
        }
      }
      const auto last = static_cast<size_t>(copy.length() / 128);
      if (last < pieces.at.size() && pieces.at[last].use_count() > 1) {
        pieces.at[last] = piece(window);
      }
      while (std::ssize(pieces.at) * 128 < end) pieces.at.push_back(piece(window));
    }
  }

  std::shared_ptr<Piece> piece(int64_t window) {
    return std::make_shared<Piece>(shape.chunk_bytes(window), bytes);
  }

  static void cut(Copy& copy, int64_t length) {
    copy.records.resize(static_cast<size_t>(length));
    if (length == 0) copy.longest = 0;
    for (auto& [window, pieces] : copy.pieces) {
      pieces.at.resize(static_cast<size_t>((length + 127) / 128));
      if (length == 0) pieces.first = 0;
    }
  }

  // A position to go back to, mostly; else it was refused.
  std::optional<int64_t> position_in(SequenceId id) {
    const Copy& copy = copies.at(id);
    const int64_t kept = kept_of(copy), end = copy.length();
    const int64_t position = below(3) ? kept + below(end - kept + 1) : below(end + 2);
    if (position == 0 || (position >= kept && position <= end)) return position;
    const std::string zero = kept > 0 ? "0 or " : "";
    EXPECT_EQ(error_of([&] { pool.truncate(id, position); }),
              fmt::format("sequence {}: position {}: it holds {} positions, want {}{}..{}", id,
                          position, end, zero, kept, end));
    return std::nullopt;
  }

  void truncate(SequenceId id) {
    check(id);
    if (const auto position = position_in(id)) {
      pool.truncate(id, *position);
      cut(copies.at(id), *position);
    }
  }

  void erase(SequenceId id) {
    check(id);
    pool.erase(id);
    copies.erase(id);
    ASSERT_EQ(error_of([&] { pool.length(id); }), fmt::format("sequence {}: there is none", id));
  }

  void fork(SequenceId id) {
    check(id);
    const auto position = position_in(id);
    if (!position) return;
    const SequenceId to = pool.fork(id, *position);
    ASSERT_FALSE(copies.contains(to));
    copies[to] = copies.at(id);
    cut(copies[to], *position);
    check(to);
  }

  void save_and_restore(SequenceId id) {
    const Saved all = saved(pool, id);
    const SequenceId to = restored(pool, all);
    ASSERT_FALSE(copies.contains(to));
    Copy& copy = copies[to];
    copy = copies.at(id);
    for (auto& [window, pieces] : copy.pieces) {
      for (auto& one : pieces.at) one = one ? piece(window) : nullptr;
    }
    check(to);
    ASSERT_EQ(saved(pool, to), all);
  }

  const Shape& shape = GetParam();
  KvPool pool = shape.pool();
  Storing storing{shape, pool, 5};
  std::mt19937_64 random{17};
  int64_t bytes = 0;  // of all pieces
  std::map<SequenceId, Copy> copies;
  size_t layer_bytes = static_cast<size_t>(
      shape.kv_heads * (8 + 2 * shape.head_dim * KvTile{shape.type, 2}.value_bytes()));
};

// With all shapes 10^6 operations; a sanitizer is slow.
constexpr int64_t kOperations = kSanitized ? 20'000 : 250'000;

TEST_P(KvPoolModel, HoldsWhatWasStored) { run(scaled(kOperations)); }

INSTANTIATE_TEST_SUITE_P(
    Shapes, KvPoolModel,
    testing::Values(
        Shape{.windows = {0}, .context = 300, .sequences = 4, .max_batch = 40},
        Shape{.windows = {0, 30, 30}, .context = 700, .sequences = 5, .max_batch = 100},
        Shape{.windows = {30, 0, 30}, .readers = {2, 1, 2}, .context = 700, .max_batch = 100},
        Shape{
            .type = KvType::kI16, .kv_heads = 2, .windows = {1, 0}, .sequences = 3, .page = 16384},
        Shape{.type = KvType::kI8,
              .head_dim = 4,
              .windows = {200, 0},
              .context = 800,
              .max_batch = 130,
              .page = 65536}),
    [](const auto& param) { return fmt::format("Shape{}", param.index); });

// ---- Memory ----

// Stores and commits positions up to `end`, as many at a time as there may be.
void fill(const Shape& shape, KvPool& pool, Storing& storing, SequenceId id, int64_t end) {
  while (pool.length(id) < end) {
    const int64_t begin = pool.length(id), tokens = std::min(shape.max_batch, end - begin);
    pool.reserve(id, tokens);
    for (int64_t i = 0; i < tokens; ++i) storing(id, begin + i);
    pool.commit(id, tokens);
  }
}

TEST(KvPool, SharesWhatBeginsAlike) {
  const Shape shape{.windows = {0, 0}, .sequences = 3, .max_batch = 128};
  KvPool pool = shape.pool();
  Storing storing(shape, pool, 1);
  const auto chunk = static_cast<uint64_t>(shape.chunk_bytes(0));
  const SequenceId a = pool.create();
  EXPECT_EQ(pool.bytes_in_use(), 0u);
  fill(shape, pool, storing, a, 300);
  EXPECT_EQ(pool.bytes_in_use(), 3 * chunk);
  EXPECT_EQ(pool.bytes(300), 3 * chunk);
  EXPECT_EQ(pool.bytes(shape.context), 4 * chunk);

  const SequenceId b = pool.fork(a, 200);
  EXPECT_EQ(pool.length(b), 200);
  EXPECT_EQ(pool.bytes_in_use(), 3 * chunk);
  EXPECT_EQ(pool.bytes_to_append(b, 56), chunk);      // a copy of the second
  EXPECT_EQ(pool.bytes_to_append(b, 57), 2 * chunk);  // and a third
  EXPECT_EQ(pool.bytes_to_append(a, 84), 0u);         // has the third for itself
  fill(shape, pool, storing, b, 201);
  EXPECT_EQ(pool.bytes_in_use(), 4 * chunk);
  EXPECT_EQ(pool.bytes_to_append(b, 55), 0u);

  pool.erase(a);
  EXPECT_EQ(pool.bytes_in_use(), 2 * chunk);
  pool.truncate(b, 128);
  EXPECT_EQ(pool.bytes_in_use(), chunk);
  EXPECT_EQ(pool.create(), a);  // the smallest that is not in use
  EXPECT_EQ(pool.fork(b, 0), 2);
  EXPECT_EQ(pool.bytes_in_use(), chunk);
}

// A layer that reads another's is as good as that one, and takes nothing.
TEST(KvPool, LayersThatReadOthersHaveNoTiles) {
  const Shape own{.windows = {0, 5}};
  Shape shared = own;
  shared.readers = {1, 0, 1};
  KvPool pool = own.pool(), other = shared.pool();
  Storing storing(own, pool, 1), storing_other(shared, other, 1);
  fill(own, pool, storing, pool.create(), 200);
  fill(shared, other, storing_other, other.create(), 200);
  EXPECT_EQ(other.bytes_in_use(), pool.bytes_in_use());
  EXPECT_EQ(other.bytes(500), pool.bytes(500));
  for (const auto& [reader, source] : {std::pair{2, 1}, {3, 0}, {4, 1}}) {
    EXPECT_EQ(other.tiles(reader, 0, 0).tile(1), other.tiles(source, 0, 0).tile(1)) << reader;
  }
  EXPECT_NE(other.tiles(0, 0, 0).tile(1), other.tiles(1, 0, 0).tile(1));
  EXPECT_EQ(saved(other, 0), saved(pool, 0));
}

// Sliding layers hold no more than the window and a batch, wherever the window ends in a tile.
TEST(KvPool, LetsGoOfWhatNoQuerySees) {
  for (const int64_t window : {1, 5, 124, 125, 126, 127, 128, 253, 254, 255, 400}) {
    const Shape shape{.windows = {0, window}, .context = 1100, .sequences = 1, .max_batch = 3};
    KvPool pool = shape.pool();
    Storing storing(shape, pool, 1);
    const SequenceId id = pool.create();
    const auto all = static_cast<uint64_t>(shape.chunk_bytes(0));
    const auto sliding = static_cast<uint64_t>(shape.chunk_bytes(window));
    const auto most = static_cast<uint64_t>((window + shape.max_batch - 2 + 127) / 128 + 1);
    EXPECT_EQ(pool.bytes(shape.context), 9 * all + most * sliding) << window;
    uint64_t peak = 0;
    for (int64_t end = 1; end <= shape.context; ++end) {
      fill(shape, pool, storing, id, end);
      const auto tiles = static_cast<uint64_t>((end + 127) / 128);
      peak = std::max(peak, pool.bytes_in_use() - tiles * all);
      const int64_t first = std::max<int64_t>(0, end - shape.max_batch - window + 1) / 128;
      EXPECT_EQ(pool.first_kept(id), first > 0 ? first * 128 + window - 1 : 0);
    }
    EXPECT_EQ(peak, most * sliding) << window;
  }
}

TEST(KvPool, GoesBackAsFarAsItsTilesLive) {
  const Shape shape{.windows = {0, 10}, .max_batch = 8};
  KvPool pool = shape.pool();
  Storing storing(shape, pool, 1);
  const SequenceId id = pool.create();
  fill(shape, pool, storing, id, 144);
  EXPECT_EQ(pool.first_kept(id), 0);
  fill(shape, pool, storing, id, 145);
  EXPECT_EQ(pool.first_kept(id), 137);  // which still sees 128, in the second tile
  EXPECT_EQ(error_of([&] { pool.truncate(id, 136); }),
            "sequence 0: position 136: it holds 145 positions, want 0 or 137..145");
  EXPECT_EQ(error_of([&] { pool.fork(id, 146); }),
            "sequence 0: position 146: it holds 145 positions, want 0 or 137..145");
  pool.truncate(id, 137);
  EXPECT_EQ(pool.first_kept(id), 137);
  pool.truncate(id, 0);
  EXPECT_EQ(pool.first_kept(id), 0);
  EXPECT_EQ(error_of([&] { pool.truncate(id, 1); }),
            "sequence 0: position 1: it holds 0 positions, want 0..0");
  EXPECT_EQ(error_of([&] { pool.truncate(1, 0); }), "sequence 1: there is none");
  EXPECT_EQ(error_of([&] { pool.erase(-1); }), "sequence -1: there is none");
  EXPECT_EQ(error_of([&] { pool.length(7); }), "sequence 7: there is none");
}

// ---- Sequences as bytes ----

class KvPoolFile : public testing::Test {
 protected:
  Saved save_new() {
    fill(shape, pool, storing, pool.create(), 300);
    return saved(pool, 0);
  }

  Shape shape{.type = KvType::kI8, .windows = {5, 0, 5}, .context = 400};
  KvPool pool = shape.pool();
  Storing storing{shape, pool, 3};
  const Saved file = save_new();
};

TEST_F(KvPoolFile, GroupsAreThoseOfTheWindowsWhateverTheContext) {
  for (const int64_t context : {4, 200}) {
    Shape other = shape;
    other.context = context;
    const auto groups = other.pool().tile_groups();
    ASSERT_EQ(groups.size(), 2u);
    const auto tile = static_cast<uint64_t>(KvTile{KvType::kI8, 2}.bytes());
    EXPECT_EQ(groups[0].window, 5);
    EXPECT_EQ(groups[0].layers, 2);
    EXPECT_EQ(groups[0].bytes, 2 * tile);
    EXPECT_EQ(groups[1].window, 0);
    EXPECT_EQ(groups[1].bytes, tile);
  }
}

TEST_F(KvPoolFile, GoesOnWhereItWas) {
  EXPECT_EQ(file.first, (std::vector<int64_t>{2, 0}));
  Shape longer = shape;  // in another engine, with another context and other batches
  longer.context = 1000;
  longer.max_batch = 77;
  KvPool other = longer.pool();
  const SequenceId id = restored(other, file);
  EXPECT_EQ(other.length(id), 300);
  EXPECT_EQ(other.first_kept(id), 260);
  EXPECT_EQ(saved(other, id), file);
  Storing more(longer, other, 8);
  fill(longer, other, more, id, 700);
  EXPECT_EQ(other.length(id), 700);

  const SequenceId empty = restored(pool, {.positions = 0, .first = {0, 0}});
  EXPECT_EQ(pool.length(empty), 0);
}

// Of tiles from before what can be gone back to there is no need.
TEST_F(KvPoolFile, TakesNoMoreTilesThanItMayHold) {
  std::vector<std::pair<size_t, int64_t>> asked;
  pool.restore(0, 300, std::vector<int64_t>{0, 0},
               [&](size_t g, int64_t i, auto) { asked.push_back({g, i}); });
  EXPECT_EQ(asked, (std::vector<std::pair<size_t, int64_t>>{{0, 2}, {1, 0}, {1, 1}, {1, 2}}));
}

// What a sequence held once, or another that it was copied from, is nobody's business.
TEST_F(KvPoolFile, TellsNothingOfForgottenPositions) {
  const SequenceId id = pool.create();
  Storing same(shape, pool, 3), other(shape, pool, 4);
  fill(shape, pool, same, id, 300);
  fill(shape, pool, other, id, 310);
  pool.truncate(id, 300);
  EXPECT_EQ(saved(pool, id), file);
}

TEST_F(KvPoolFile, RefusesWhatItCannotHold) {
  const uint64_t before = pool.bytes_in_use();
  const SequenceId id = pool.create();
  const auto refusal = [&](int64_t positions, std::vector<int64_t> first) {
    const std::string error = error_of([&] {
      pool.restore(id, positions, first, [](size_t g, int64_t, auto) {
        if (g == 1) fail(ErrorCode::kIo, "the disk is gone");
      });
    });
    EXPECT_EQ(pool.bytes_in_use(), before);
    EXPECT_EQ(pool.length(id), 0);
    return error;
  };
  EXPECT_EQ(refusal(-1, file.first), "-1 positions, want 0..400");
  EXPECT_EQ(refusal(401, file.first), "401 positions, want 0..400");
  EXPECT_EQ(refusal(300, {3, 0}), "layers with window 5: tiles from 3 on, want 2");
  EXPECT_EQ(refusal(300, {2, 1}), "layers with window 0: tiles from 1 on, want 0");
  EXPECT_EQ(refusal(300, file.first), "the disk is gone");
  EXPECT_EQ(saved(pool, 0), file);
}

}  // namespace
}  // namespace st
