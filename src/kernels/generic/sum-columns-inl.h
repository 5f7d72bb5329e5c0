// Y = W H for a down matrix regrouped by neuron, reading active neurons only: what a sparse expert
// does with files whose down matrices are not transposed.
//
// H is quantised in blocks of 32 neurons. Within one, or half of one, all neurons share the scale
// of an output, so integer products are added four neurons at a time, the bytes of their rows
// interleaved; then come one conversion and one multiply-add per output, and another where there
// are minimums, groups of neurons in ascending order. Integers add up to the same in any order, so
// bits do not depend on the way that is taken:
//
// A token alone takes rows whole, a group of neurons at a time, and interleaves those of its active
// ones, while the next group's are on their way into the second-level cache; the outputs wait in
// memory that stays in the first. Many tokens of which none is very sparse share that work: a
// group's codes and scales of a tile of outputs are unpacked once, and a token multiplies all.

#include "kernels/generic/down-columns-inl.h"
#include "kernels/generic/fetch-inl.h"

namespace st {
namespace {

constexpr int64_t kTokensAtOnce = 64;  // share what is unpacked; their outputs take 32 KiB
constexpr int64_t kFewTokens = 15;     // do not
constexpr float kSparseShare = 0.25f;  // of active neurons: fewer are faster one by one

// ---- A token alone ----

// The active neurons of a group.
template <typename W>
struct ActiveNeurons {
  int64_t group;
  const uint8_t* rows[W::kNeurons];  // a multiple of four, whose q is 0 from count on
  alignas(4) int8_t q[W::kNeurons];
  int64_t count = 0;
  int total = 0;
  float d;
  typename QuadSum<W>::Lanes start;

  // Of the first group from `from` on that has any; none if there is no such group.
  ST_INLINE ActiveNeurons(const DownColumns<W>& down, const Q8Rows& x, int64_t from) : group(from) {
    for (; group < down.groups(); ++group) {
      const GroupValues<W> values(x, group);
      if (!values.any()) continue;
      take(values, down.quants(group), down.stride());
      break;
    }
  }
  ST_INLINE const uint8_t* start_fetching(int64_t i) const { return rows[i]; }

  // Sums of a part.
  ST_INLINE void add(const DownColumns<W>& down, int part,
                     typename QuadSum<W>::Lanes (&sums)[kColumnSlots]) const {
    for (auto& v : sums) v = start;
    for (int64_t i = 0; i < count; i += 4) {
      Bytes codes[kColumnSlots];
      down.load_four(rows + i, part, codes);
      const Bytes quad = splat_quad(q + i);
      for (int slot = 0; slot < kColumnSlots; ++slot) {
        sums[slot] = QuadSum<W>::add(sums[slot], codes[slot], quad);
      }
    }
  }

 private:
  // Without branches: which are active is hard to predict.
  ST_INLINE void take(const GroupValues<W>& values, const uint8_t* row, int64_t stride) {
    for (int k = 0; k < W::kNeurons; ++k, row += stride) {
      rows[count] = row;
      q[count] = values.q[k];
      count += values.q[k] != 0;
    }
    for (int64_t k = count; k < W::kNeurons; ++k) q[k] = 0;
    for (int64_t k = count; k % 4 != 0; ++k) rows[k] = rows[0];
    total = values.total;
    d = values.d;
    start = QuadSum<W>::start(values.q, total);
  }
};

// At most kSumColumns columns. cached: the rows have just been used.
template <typename W>
void sum_columns_of_one(const DownColumns<W>& down, const Q8Rows& x, bool cached, float* y) {
  const int parts = down.parts();
  VecF out[kSumColumns / kLanes];
  for (int i = 0; i < parts * kColumnSlots; ++i) out[i] = VecF{};
  const int64_t bytes = down.blocks() * W::kBlockBytes;
  for (ActiveNeurons<W> now(down, x, 0); now.group < down.groups();) {
    const ActiveNeurons<W> next(down, x, now.group + 1);
    Fetch<ActiveNeurons<W>> soon = {&next, 0, next.count, bytes};
    const int lines = static_cast<int>(next.count * bytes / 64) / parts + 1;
    for (int part = 0; part < parts; ++part) {
      if (!cached) soon.advance(lines);
      typename QuadSum<W>::Lanes sums[kColumnSlots];
      now.add(down, part, sums);
      const auto scales = down.scales(now.group, part / kTileParts * kColumnTile);
      add_part<W>(sums, PartScales<W>{scales, part % kTileParts}, now.d, now.total,
                  out + part * kColumnSlots);
    }
    now = next;
  }
  for (int part = 0; part < parts; ++part) {
    const int64_t c = int64_t{part} * kPartColumns;
    store_part<W>(out + part * kColumnSlots, down.columns - c, y + c);
  }
}

// ---- Many tokens ----

// All rows of a group.
template <typename W>
struct GroupRows {
  const uint8_t* first;
  int64_t stride;

  GroupRows(const DownColumns<W>& down, int64_t group)
      : first(down.quants(group)), stride(down.stride()) {}
  ST_INLINE const uint8_t* start_fetching(int64_t i) const { return first + i * stride; }
};

// A group's codes and scales of a tile.
template <typename W>
struct UnpackedGroup {
  static constexpr int kQuads = W::kNeurons / 4;
  Bytes codes[kTileParts][kQuads][kColumnSlots];
  VecF scales[kTileParts][kColumnSlots], mins[kTileParts][kColumnSlots];

  UnpackedGroup(const DownColumns<W>& down, int64_t group) {
    const GroupRows<W> from(down, group);
    const auto of_tile = down.scales(group, 0);
    for (int part = 0; part < down.parts(); ++part) {
      for (int i = 0; i < kQuads; ++i) {
        const uint8_t* rows[4];
        for (int k = 0; k < 4; ++k) rows[k] = from.first + (4 * i + k) * from.stride;
        down.load_four(rows, part, codes[part][i]);
      }
      const PartScales<W> of_part = {of_tile, part};
      for (int slot = 0; slot < kColumnSlots; ++slot) {
        scales[part][slot] = of_part.scale(slot);
        if constexpr (W::Scales::kHasMins) mins[part][slot] = of_part.min(slot);
      }
    }
  }

  // Those of a part.
  struct Scales {
    const UnpackedGroup& group;
    int part;
    ST_INLINE VecF scale(int slot) const { return group.scales[part][slot]; }
    ST_INLINE VecF min(int slot) const { return group.mins[part][slot]; }
  };

  // out += what the group adds to a token.
  ST_INLINE void add(const GroupValues<W>& values, int parts, VecF* out) const {
    const auto start = QuadSum<W>::start(values.q, values.total);
    for (int part = 0; part < parts; ++part) {
      typename QuadSum<W>::Lanes sums[kColumnSlots];
      for (auto& v : sums) v = start;
#pragma GCC unroll 8
      for (int i = 0; i < kQuads; ++i) {
        const Bytes quad = splat_quad(values.q + 4 * i);
        for (int slot = 0; slot < kColumnSlots; ++slot) {
          sums[slot] = QuadSum<W>::add(sums[slot], codes[part][i][slot], quad);
        }
      }
      add_part<W>(sums, Scales{*this, part}, values.d, values.total, out + part * kColumnSlots);
    }
  }
};

// At most a tile of columns and kTokensAtOnce tokens.
template <typename W>
void sum_tile(const DownColumns<W>& down, const Q8Rows& x, int64_t tokens, float* y,
              int64_t y_stride) {
  const int parts = down.parts();
  VecF out[kTokensAtOnce][kTileParts * kColumnSlots];
  for (int64_t t = 0; t < tokens; ++t) {
    for (VecF& v : out[t]) v = VecF{};
  }
  const int64_t bytes = down.blocks() * W::kBlockBytes;
  const int lines = static_cast<int>(W::kNeurons * bytes / 64 / tokens) + 1;
  for (int64_t group = 0; group < down.groups(); ++group) {
    const UnpackedGroup<W> unpacked(down, group);
    const GroupRows<W> next(down, group + 1);
    Fetch<GroupRows<W>> soon = {&next, 0, group + 1 < down.groups() ? W::kNeurons : 0, bytes};
    for (int64_t t = 0; t < tokens; ++t) {
      soon.advance(lines);
      const GroupValues<W> values(x.rows_from(t, down.neurons), group);
      if (values.any()) unpacked.add(values, parts, out[t]);
    }
  }
  for (int64_t t = 0; t < tokens; ++t) {
    for (int part = 0; part < parts; ++part) {
      const int64_t c = int64_t{part} * kPartColumns;
      store_part<W>(out[t] + part * kColumnSlots, down.columns - c, y + t * y_stride + c);
    }
  }
}

// ---- All ----

ST_INLINE bool are_sparse(const int8_t* q, int64_t n) {
  int64_t active = 0;
  for (int64_t i = 0; i < n; ++i) active += q[i] != 0;
  return static_cast<float>(active) < kSparseShare * static_cast<float>(n);
}

template <typename W>
void sum_columns(const NeuronRows& w, int64_t neurons, const Q8Rows& x, int64_t tokens,
                 int64_t cols, int64_t begin, int64_t end, float* y, int64_t y_stride) {
  for (int64_t t = 0; t < tokens; t += kTokensAtOnce) {
    const int64_t some = tokens - t < kTokensAtOnce ? tokens - t : kTokensAtOnce;
    const Q8Rows of_some = x.rows_from(t, neurons);
    const bool alone = some <= kFewTokens || are_sparse(of_some.q, some * neurons);
    const int64_t step = alone ? kSumColumns : kColumnTile;
    for (int64_t c = begin; c < end; c += step) {
      const DownColumns<W> down = {w, neurons, cols, c, end - c < step ? end - c : step};
      float* to = y + t * y_stride + c;
      if (!alone) {
        sum_tile(down, of_some, some, to, y_stride);
        continue;
      }
      for (int64_t i = 0; i < some; ++i) {
        sum_columns_of_one(down, of_some.rows_from(i, neurons), t + i > 0, to + i * y_stride);
      }
    }
  }
}

}  // namespace
}  // namespace st
