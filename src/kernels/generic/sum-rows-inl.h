// y = h W for the rows of W whose h is not zero: the down projection of a sparse expert, W (F, D).
//
// A scale belongs to one row and 32 columns, so it cannot be taken out of a sum over rows; it is
// multiplied into h instead. For one column block these products are rounded to 15-bit integers.
// Two rows are multiplied at a time, their 16-bit words interleaved: a word is two bytes of a row,
// and each of the values in it meets the products where it lies, shifted down only after a group of
// rows. Integer sums are exact, so bits depend neither on order nor on who adds.
//
// Memory sets the pace, so rows are taken whole, a group at a time, while the next group is on its
// way into the second-level cache; the sums of all columns wait in memory that stays in the first.

#include <cfloat>

#include "kernels/generic/blocks-inl.h"
#include "kernels/generic/fetch-inl.h"

namespace st {
namespace {

constexpr int64_t kSumRows = 512;      // rows that share a scale; keeps integer sums below 2^31
constexpr int64_t kSumColumns = 2048;  // columns at a time
constexpr int kSumPairs = 16;          // times two rows are a group
constexpr int kSumSlots = 8;           // vectors of sums in registers: a part of the columns
constexpr int kSumParts = 4;           // parts that are kLanes blocks together, a span
constexpr int kSumSpans = kSumColumns / kBlock / kLanes;
constexpr float kSumRange = 16383;

// A group's sums of values that lie up to 8 bits high, and all sums of rows, are below 2^31.
static_assert(2 * kSumPairs * (15 << 8) * int64_t{16383} <= INT32_MAX);
static_assert(kSumRows * 128 * int64_t{16383} <= INT32_MAX);

// The rows and columns of one call.
template <typename W>
struct RowSet {
  const QuantRows& w;
  const int32_t* index;  // (count)
  const float* h;        // (count)
  int64_t count;         // <= kSumRows
  int64_t cols;
  int64_t first;  // column
  int blocks;     // from there on, <= kSumColumns / kBlock

  ST_INLINE const uint8_t* quants(int64_t i) const {
    return w.q + W::offset(index[i < count ? i : count - 1], first / kBlock, cols);
  }
};

// What is known of them, as far as it has been computed.
template <typename W>
struct RowSums : RowSet<W> {
  using Rows = RowSet<W>;
  using Rows::blocks, Rows::cols, Rows::count, Rows::first, Rows::h, Rows::index, Rows::quants;
  using Rows::w;

  VecF unit[kSumSpans], inverse[kSumSpans];  // per block: the value of 1
  VecI finite[kSumSpans];                    // per block: all bits, or none
  VecI total[kSumSpans];                     // per block: of all products
  VecI words[kSumSpans][kSumPairs];          // per block: products of two rows
  VecI sums[kSumSpans * kSumParts * kSumSlots];

  explicit RowSums(const Rows& rows) : Rows(rows) {}

  // Of the n blocks of a span.
  ST_INLINE VecF product(int64_t i, int s, int n) const {
    const uint16_t* d = w.d + index[i] * (cols / kBlock) + first / kBlock + s * kLanes;
    return F16::load(d, n) * splat(h[i]);
  }
  // Calls f(s, blocks) for every span; mostly their number is known to the compiler.
  template <typename F>
  ST_INLINE void for_spans(const F& f) const {
    int s = 0;
    for (; (s + 1) * kLanes <= blocks; ++s) f(s, kLanes);
    if (s * kLanes < blocks) f(s, blocks - s * kLanes);
  }
  // The quants of up to a group of rows from i on.
  ST_INLINE Fetch<Rows> fetch(int64_t i) const {
    const int64_t end = i + 2 * kSumPairs < count ? i + 2 * kSumPairs : count;
    return {*this, i, end, int64_t{blocks} * W::kBlockBytes};
  }

  void find_units(bool cached) {
    Fetch<Rows> soon = fetch(0);
    for_spans([&](int s, int n) {
      VecI peak = {};
      for (int64_t i = 0; i < count; ++i) {
        if (s == 0 && !cached) fetch_ahead(i, soon);
        peak = max(peak, (VecI)product(i, s, n) & INT32_MAX);  // as integers: a NaN is largest
      }
      unit[s] = (VecF)peak * splat(1 / kSumRange);
      const VecF one_over = splat(1.0f) / unit[s];
      inverse[s] = one_over <= splat(FLT_MAX) ? one_over : VecF{};
      finite[s] = unit[s] <= splat(FLT_MAX);  // else it shows in unit
      total[s] = VecI{};
    });
  }

  // Scales of rows to come, and a share of the first group's quants.
  ST_INLINE void fetch_ahead(int64_t i, Fetch<Rows>& soon) const {
    constexpr int64_t kAhead = 8;
    if (i + kAhead < count) {
      const uint16_t* d = w.d + index[i + kAhead] * (cols / kBlock) + first / kBlock;
      for (int b = 0; b < blocks; b += 32) fetch_line(d + b);
      fetch_line(d + blocks - 1);
    }
    soon.advance(2);
  }

  // h times the scales of row i; zero past the last row. As a float to which 1.5 * 2^23 was added,
  // whose low bits are the nearest integer.
  ST_INLINE VecI rounded(int64_t i, int s, int n) const {
    const VecF p = i < count ? product(i, s, n) * inverse[s] : VecF{};
    return (VecI)(p + splat(0x1.8p23f));
  }

  // The products of the group that begins at row i.
  ST_INLINE void round_products(int64_t i) {
    for_spans([&](int s, int n) {
      VecI all = total[s];
      for (int pair = 0; pair < kSumPairs; ++pair) {
        const VecI a = rounded(i + 2 * pair, s, n), b = rounded(i + 2 * pair + 1, s, n);
        words[s][pair] = ((a & 0xFFFF) | b << 16) & finite[s];
        if (W::kRowOffset != 0) all = dot2(all, (Bytes)words[s][pair], ones());
      }
      total[s] = all;
    });
  }
  ST_INLINE static Bytes ones() { return (Bytes)splat(0x10001); }

  // Adds a group to the sums of kChains blocks, or of the n last ones.
  ST_INLINE void add_part(const uint8_t* const* rows, int part, int n) {
    WordSum group[kSumSlots] = {};
    const int s = part / kSumParts, block = part % kSumParts * kChains;
    const int64_t at = int64_t{part} * kChains * W::kBlockBytes;
    for (int pair = 0; pair < kSumPairs; ++pair) {
      const uint8_t *even = rows[2 * pair] + at, *odd = rows[2 * pair + 1] + at;
      const auto* products = reinterpret_cast<const int32_t*>(&words[s][pair]) + block;
      for (int v = 0; v < W::kSumVecs; ++v) {
        const int bytes = n * W::kBlockBytes - v * kBytes;
        const Bytes a = load_bytes(even + v * kBytes, bytes);
        const Bytes b = load_bytes(odd + v * kBytes, bytes);
        const auto two = (Bytes)W::spread_products(products, v);
        WordSum* to = group + v * kSumSlots / W::kSumVecs;
        W::add_rows(interleave_low_words(a, b), two, to);
        W::add_rows(interleave_high_words(a, b), two, to + kSumSlots / W::kSumVecs / 2);
      }
    }
    VecI* to = sums + part * kSumSlots;
    for (int slot = 0; slot < kSumSlots; ++slot)
      to[slot] += st::total(group[slot]) >> W::shift(slot);
  }

  void add_groups(bool cached) {
    const int parts = (blocks + kChains - 1) / kChains;
    for (int p = 0; p < parts * kSumSlots; ++p) sums[p] = VecI{};
    for (int64_t i = 0; i < count; i += 2 * kSumPairs) {
      round_products(i);
      const uint8_t* rows[2 * kSumPairs];
      for (int k = 0; k < 2 * kSumPairs; ++k) rows[k] = quants(i + k);
      Fetch<Rows> next = fetch(i + 2 * kSumPairs);
      int part = 0;
      for (; (part + 1) * kChains <= blocks; ++part) {
        if (!cached) next.advance(2 * kSumPairs * kChains * W::kBlockBytes / 64);
        add_part(rows, part, kChains);
      }
      if (part < parts) add_part(rows, part, blocks - part * kChains);
    }
  }

  // Adds the sums to y (columns). Slots 2 i and 2 i + 1 are even and odd columns.
  void store_sums(float* y) const {
    constexpr int kSlots = kSumSlots / W::kSumVecs;  // of one vector of quants
    for (int part = 0; part * kChains < blocks; ++part) {
      const int s = part / kSumParts, block = part % kSumParts * kChains;
      for (int v = 0; v < W::kSumVecs; ++v) {
        const VecI totals = spread_blocks(total[s], block, v) * W::kRowOffset;
        const VecF units = (VecF)spread_blocks((VecI)unit[s], block, v);
        for (int slot = v * kSlots; slot < (v + 1) * kSlots; slot += 2) {
          const VecI* at = sums + part * kSumSlots + slot;
          const VecF even = to_float(at[0] - totals) * units;
          const VecF odd = to_float(at[1] - totals) * units;
          store_slot(part, slot, 0, interleave_low(even, odd), y);
          store_slot(part, slot, 1, interleave_high(even, odd), y);
        }
      }
    }
  }

  // Of the values of a span's blocks, those from `block` on: each in the lanes of its columns.
  ST_INLINE static VecI spread_blocks(const VecI& of_span, int block, int v) {
    return W::spread_products(reinterpret_cast<const int32_t*>(&of_span) + block, v);
  }

  // Four lanes are four neighbouring columns.
  ST_INLINE void store_slot(int part, int slot, int half, VecF v, float* y) const {
    using Quad = float __attribute__((vector_size(16)));
    Quad values[kChains];
    __builtin_memcpy(values, &v, sizeof v);
    for (int quad = 0; quad < kChains; ++quad) {
      const int column = part * kChains * kBlock + W::word_column(slot, quad) + 4 * half;
      if (column >= blocks * kBlock) continue;
      Quad sum;
      __builtin_memcpy(&sum, y + column, sizeof sum);
      sum += values[quad];
      __builtin_memcpy(y + column, &sum, sizeof sum);
    }
  }
};

template <typename W>
void sum_rows_block(const QuantRows& w, const int32_t* index, const float* h, int64_t count,
                    int64_t cols, int64_t begin, int64_t end, bool cached, float* y) {
  for (int64_t c = begin; c < end; ++c) y[c] = 0;
  for (int64_t i = 0; i < count; i += kSumRows) {
    const int64_t rows = count - i < kSumRows ? count - i : kSumRows;
    for (int64_t c = begin; c < end; c += kSumColumns) {
      const int64_t n = end - c < kSumColumns ? end - c : kSumColumns;
      RowSums<W> part({w, index + i, h + i, rows, cols, c, static_cast<int>(n / kBlock)});
      part.find_units(cached);
      part.add_groups(cached);
      part.store_sums(y + c);
    }
  }
}

}  // namespace
}  // namespace st
