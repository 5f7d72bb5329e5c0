// Attention of a block of queries over the tiles of a KV cache, with an online softmax: sums are
// kept relative to the largest score seen so far, and rescaled tile by tile.
//
// Both products, scores = q K and out += weights V, are the same loop: a cell of a query (or of its
// weights) times a vector of cells of the tile, whose lanes are keys (or channels).

#include "kernels/generic/kv-cells-inl.h"

namespace st {
namespace {

// Fetches [at, end) into the second-level cache, some lines at every step of other work. A step
// that reads `bytes` asks for as many: the next tile is on its way for as long as this one is in
// use. Faster, and memory would be idle half of the time.
struct Ahead {
  const std::byte* at;
  const std::byte* end;

  template <int bytes>
  ST_INLINE void advance() {
    constexpr int kLines = bytes < 64 ? 1 : bytes / 64;
    if (at >= end) return;
    for (int i = 0; i < kLines; ++i) fetch_line(at + i * 64);
    at += kLines * 64;
  }
};

// A product: rows of operands (rows, stride) times steps [begin, end) of cells (depth, width).
template <typename T>
struct Product {
  const typename T::Operand* rows;
  int64_t stride;
  const std::byte* cells;
  int64_t depth, width;
  int64_t columns;  // of the width, a multiple of kLanes
  int64_t begin, end;

  // emit(row, column, sums): sums of kLanes columns.
  template <int R, int V, typename Emit>
  ST_INLINE void tile(int64_t row, int64_t column, Ahead& ahead, const Emit& emit) const {
    typename T::Sum sums[R][V] = {};
    const typename T::Operand* a = rows + row * stride;
    const std::byte* b = cells + cell_at(begin, column, depth, width) * T::kBytes;
    const int64_t left = width - column / kPanel * kPanel;
    const int64_t step = (left < kPanel ? left : kPanel) * T::kBytes;
    for (int64_t i = begin; i < end; ++i, b += step) {
      ahead.template advance<V * kLanes * T::kBytes>();
      typename T::Vec bs[V];
      for (int v = 0; v < V; ++v) bs[v] = T::load(b + v * kLanes * T::kBytes);
      for (int r = 0; r < R; ++r) {
        const typename T::Vec as = T::splat(a + r * stride + i);
        for (int v = 0; v < V; ++v) sums[r][v] = T::dot(sums[r][v], as, bs[v]);
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < V; ++v) emit(row + r, column + v * kLanes, sums[r][v]);
    }
  }

  template <int R, int V, typename Emit>
  void few_rows(int64_t n, int64_t row, int64_t column, Ahead& ahead, const Emit& emit) const {
    if (n == R) return tile<R, V>(row, column, ahead, emit);
    if constexpr (R > 1) few_rows<R - 1, V>(n, row, column, ahead, emit);
  }

  // Tiles of nearly equal size: 7 rows are 4 and 3.
  template <int V, typename Emit>
  void all_rows(int64_t n, int64_t column, Ahead& ahead, const Emit& emit) const {
    constexpr int kMost = kTune.attend_queries;
    const int64_t tiles = (n + kMost - 1) / kMost;
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t first = i * n / tiles, last = (i + 1) * n / tiles;
      few_rows<kMost, V>(last - first, first, column, ahead, emit);
    }
  }

  // All of n rows. Columns are the outer loop: their cells stay in the first-level cache.
  template <typename Emit>
  void run(int64_t n, Ahead& ahead, const Emit& emit) const {
    constexpr int kVecs = kTune.attend_vecs;
    int64_t column = 0;
    for (; column + kVecs * kLanes <= columns; column += kVecs * kLanes) {
      all_rows<kVecs>(n, column, ahead, emit);
    }
    for (; column < columns; column += kLanes) all_rows<1>(n, column, ahead, emit);
  }
};

// Query i of the block is query i % group of token i / group.
template <typename T>
class Attention {
 public:
  Attention(const AttentionBlock& block, float* scratch)
      : block_(block),
        shape_{T::kType, block.tile.head_dim},
        d_(block.tile.head_dim),
        width_(shape_.width()),
        queries_(block.tokens * block.group) {
    const auto take = [&](int64_t n) {
      float* p = scratch;
      scratch += queries_ * n;
      return p;
    };
    q_ = take(width_);
    out_ = take(width_);
    scores_ = take(kTileKeys);
    totals_ = take(16);
    q_unit_ = take(1);
    top_ = take(1);
    new_top_ = take(1);
    shrink_ = take(1);
    unit_ = take(1);
  }

  void run() {
    load_queries();
    const int64_t first = tile_index(begin_of(0));
    const int64_t last = tile_index(block_.position + block_.tokens - 1);
    // Later tiles are fetched behind work on those before; nothing comes before the first. A tile
    // that is the last as well may be all but empty.
    if (first < last) {
      for (int64_t at = 0; at < shape_.bytes(); at += 64) fetch_line(tile(first) + at);
    }
    for (int64_t i = first; i <= last; ++i) {
      const std::byte* next = i < last ? tile(i + 1) : nullptr;
      Ahead ahead{next, i < last ? next + shape_.bytes() : nullptr};
      score(tile(i), i * kTileKeys, ahead);
      weigh(tile(i), i * kTileKeys);
      accumulate(tile(i), i * kTileKeys, ahead);
    }
    store_results();
  }

 private:
  static constexpr int kVecs = kTileKeys / kLanes;

  const std::byte* tile(int64_t i) const { return block_.tiles.tile(i); }
  // The positions [begin_of, end_of) that token t sees.
  int64_t begin_of(int64_t t) const {
    const int64_t begin = end_of(t) - block_.window;
    return begin > 0 ? begin : 0;
  }
  int64_t end_of(int64_t t) const { return block_.position + t + 1; }
  const float* query(int64_t i) const {
    return block_.q + i / block_.group * block_.stride + i % block_.group * d_;
  }
  auto* operands(float* rows) const { return reinterpret_cast<typename T::Operand*>(rows); }

  // Scores are q k / divisor: the factor goes into the floats, or into the unit of the integers.
  void load_queries() {
    const float scale = 1.0f / static_cast<float>(block_.divisor);
    for (int64_t i = 0; i < queries_; ++i) {
      const float* x = query(i);
      RowScale row = {1, 1};
      if constexpr (T::kType != KvType::kF32) row = row_scale(x, d_, kRange16, kMostLength);
      for (int64_t c = 0; c < d_; c += kLanes) {
        const VecF v = load(x + c, d_ - c < kLanes ? d_ - c : kLanes);
        float* to = q_ + i * width_;
        if constexpr (T::kType == KvType::kF32) {
          store(to + c, v * splat(scale));
        } else {
          store_i16(reinterpret_cast<int16_t*>(to) + c, round_integers(v, row.inverse));
        }
      }
      q_unit_[i] = row.unit * scale;
      top_[i] = -FLT_MAX;
      for (int64_t c = 0; c < width_; c += kLanes) store(out_ + i * width_ + c, VecF{});
      store(totals_ + i * 16, VecF{});
    }
  }

  // The keys [begin, end) of the tile that begins at position `start` that some token sees.
  int64_t begin_in(int64_t start) const {
    const int64_t begin = begin_of(0) - start;
    return begin > 0 ? begin : 0;
  }
  int64_t end_in(int64_t start) const {
    const int64_t end = end_of(block_.tokens - 1) - start;
    return end < kTileKeys ? end : kTileKeys;
  }

  void score(const std::byte* tile, int64_t start, Ahead& ahead) {
    constexpr int64_t kStep = kTune.attend_vecs * kLanes;
    const Product<T> product{.rows = operands(q_),
                             .stride = width_,
                             .cells = tile + shape_.keys(),
                             .depth = d_ / T::kValues,
                             .width = kTileKeys,
                             .columns = (end_in(start) + kStep - 1) / kStep * kStep,
                             .begin = 0,
                             .end = d_ / T::kValues};
    const auto* scales = reinterpret_cast<const float*>(tile + shape_.key_scales());
    product.run(queries_, ahead, [&](int64_t i, int64_t key, typename T::Sum sums) {
      if constexpr (T::kType == KvType::kF32) {
        store(scores_ + i * kTileKeys + key, sums);
      } else {
        const VecF unit = load(scales + key) * splat(q_unit_[i]);
        store(scores_ + i * kTileKeys + key, to_float(sums) * unit);
      }
    });
  }

  // Scores become weights. A query that sees nothing of this tile is left as it is.
  void weigh(const std::byte* tile, int64_t start) {
    for (int64_t i = 0; i < queries_; ++i) find_top(i, start);
    for (int64_t i = 0; i < queries_; i += kLanes) {
      const int64_t n = queries_ - i < kLanes ? queries_ - i : kLanes;
      const VecF top = load(new_top_ + i, n);
      store(shrink_ + i, exp_nonpositive(load(top_ + i, n) - top), n);
      store(top_ + i, top, n);
    }
    const auto* scales = reinterpret_cast<const float*>(tile + shape_.value_scales());
    for (int64_t i = 0; i < queries_; ++i) {
      VecF weights[kVecs];
      VecF total = load(totals_ + i * 16) * splat(shrink_[i]);
      for (int v = 0; v < kVecs; ++v) {
        weights[v] = exp_nonpositive(load(scores_ + i * kTileKeys + v * kLanes) - splat(top_[i]));
        total = total + weights[v];
      }
      store(totals_ + i * 16, total);
      store_weights(weights, scales, i);
    }
  }

  // The largest score so far; scores of what the query does not see are made -infinity.
  void find_top(int64_t i, int64_t start) {
    float* row = scores_ + i * kTileKeys;
    const int64_t begin = begin_of(i / block_.group) - start;
    const int64_t end = end_of(i / block_.group) - start;
    for (int64_t key = 0; key < begin && key < kTileKeys; ++key) row[key] = -HUGE_VALF;
    for (int64_t key = end > 0 ? end : 0; key < kTileKeys; ++key) row[key] = -HUGE_VALF;
    VecF peak = splat(top_[i]);
    for (int v = 0; v < kVecs; ++v) peak = max(load(row + v * kLanes), peak);
    new_top_[i] = max_lane(peak);
  }

  // Integers get the scales of the values as well, and a unit of their own.
  ST_INLINE void store_weights(VecF (&weights)[kVecs], const float* scales, int64_t i) {
    float* row = scores_ + i * kTileKeys;
    if constexpr (T::kType == KvType::kF32) {
      for (int v = 0; v < kVecs; ++v) store(row + v * kLanes, weights[v]);
    } else {
      VecF sums = {};
      for (int v = 0; v < kVecs; ++v) {
        // Scales of what is not seen may be anything.
        const VecF product = weights[v] * load(scales + v * kLanes);
        weights[v] = weights[v] > VecF{} ? product : VecF{};
        sums = sums + weights[v];
      }
      // The sum of a lane bounds its weights. As integers, a NaN is the largest.
      const int32_t most = max_lane((VecI)sums & INT32_MAX);
      const float by_lane = __builtin_bit_cast(float, most) * (1 / kRange16);
      const float by_sum = sum(sums) * (1 / T::kMostWeight);
      const float unit = by_sum > by_lane ? by_sum : by_lane;
      const float one_over = 1.0f / unit;
      const VecF inverse = splat(one_over <= FLT_MAX ? one_over : 0.0f);
      for (int v = 0; v < kVecs; ++v) {
        store_i16(reinterpret_cast<int16_t*>(row) + v * kLanes, round_even(weights[v] * inverse));
      }
      unit_[i] = unit;
    }
  }

  void accumulate(const std::byte* tile, int64_t start, Ahead& ahead) {
    // What no token sees is not multiplied: it may be no number, which zero does not hide.
    const Product<T> product{.rows = operands(scores_),
                             .stride = kTileKeys,
                             .cells = tile + shape_.values(),
                             .depth = kTileKeys / T::kValues,
                             .width = width_,
                             .columns = width_,
                             .begin = begin_in(start) / T::kValues,
                             .end = (end_in(start) + T::kValues - 1) / T::kValues};
    product.run(queries_, ahead, [&](int64_t i, int64_t c, typename T::Sum sums) {
      float* out = out_ + i * width_ + c;
      const VecF before = load(out) * splat(shrink_[i]);
      if constexpr (T::kType == KvType::kF32) {
        store(out, before + sums);
      } else {
        store(out, fma(to_float(sums), splat(unit_[i]), before));
      }
    });
  }

  void store_results() const {
    for (int64_t i = 0; i < queries_; ++i) {
      float* to = block_.out + (query(i) - block_.q);
      const VecF scale = splat(1.0f / sum(load(totals_ + i * 16)));
      for (int64_t c = 0; c < d_; c += kLanes) {
        store(to + c, load(out_ + i * width_ + c) * scale, d_ - c < kLanes ? d_ - c : kLanes);
      }
    }
  }

  const AttentionBlock& block_;
  const KvTile shape_;
  const int64_t d_, width_, queries_;
  float* q_;        // (queries, width) operands
  float* out_;      // (queries, width) sums of weights times values
  float* scores_;   // (queries, 128) scores, then operands
  float* totals_;   // (queries, 16) sums of weights, lane by lane
  float* q_unit_;   // (queries) what 1 in a sum of products stands for, but for the key's scale
  float* top_;      // (queries) the largest score so far
  float* new_top_;  // (queries) the same with this tile
  float* shrink_;   // (queries) factor of what was summed before this tile
  float* unit_;     // (queries) what 1 in a weight times a value stands for
};

void attend(const AttentionBlock& block, float* scratch) {
  switch (block.tile.type) {
    case KvType::kF32:
      return Attention<FloatCells>(block, scratch).run();
    case KvType::kI16:
      return Attention<Cells16>(block, scratch).run();
    case KvType::kI8:
      return Attention<Cells8>(block, scratch).run();
  }
}

}  // namespace
}  // namespace st
