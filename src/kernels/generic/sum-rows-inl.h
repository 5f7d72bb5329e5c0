// y = h W for the rows of W whose h is not zero: the down projection of a sparse expert, W (F, D).
//
// A scale belongs to one row and 32 columns, so it cannot be taken out of a sum over rows; it is
// multiplied into h instead. For one column block these products are rounded to 15-bit integers.
// Two rows are multiplied at a time, their 16-bit words interleaved: a word is two bytes of a row,
// and each of the values in it meets the products where it lies, shifted down only after a group of
// rows. Integer sums are exact, so bits depend neither on order nor on who adds.
//
// Memory sets the pace, so rows are taken whole, a small group at a time, while rows to come are on
// their way into the second-level cache; the sums of all columns wait in memory that stays in the
// first.

#include <cfloat>

#include "kernels/generic/blocks-inl.h"
#include "kernels/generic/fetch-inl.h"

namespace st {
namespace {

constexpr int64_t kSumRows = 512;      // rows that share a scale; keeps integer sums below 2^31
constexpr int64_t kSumColumns = 2048;  // columns at a time
constexpr int kSumPairs = kTune.sum_pairs;
constexpr int kFetchPairs = kTune.fetch_evenly ? 4 : kSumPairs;  // of a group, between fetches
constexpr int kSumSlots = 8;  // vectors of sums in registers: a part of the columns
constexpr int kSumParts = 4;  // parts that are kLanes blocks together, a span
constexpr int kSumSpans = kSumColumns / kBlock / kLanes;
constexpr int kPeakSpans = 3;  // whose peaks are found together
constexpr float kSumRange = 16383;

// A group's sums of values that lie up to 8 bits high, and all sums of rows, are below 2^31.
static_assert(2 * kSumPairs * (15 << 8) * int64_t{16383} <= INT32_MAX);
static_assert(kSumRows * 128 * int64_t{16383} <= INT32_MAX);

using Quad = float __attribute__((vector_size(16)));  // four neighbouring columns

ST_INLINE void add_quad(const Quad& values, float* y) {
  Quad sum;
  __builtin_memcpy(&sum, y, sizeof sum);
  sum += values;
  __builtin_memcpy(y, &sum, sizeof sum);
}

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
  ST_INLINE const uint8_t* start_fetching(int64_t i) const { return quants(i); }
};

// What is known of them, as far as it has been computed.
template <typename W>
struct RowSums : RowSet<W> {
  using Rows = RowSet<W>;
  using Rows::blocks, Rows::cols, Rows::count, Rows::first, Rows::h, Rows::index, Rows::quants;
  using Rows::w;
  static constexpr int64_t kRows = kSumRows, kColumns = kSumColumns;

  VecI peak[kSumSpans];                      // per block: of all rows, as bits
  VecF unit[kSumSpans], inverse[kSumSpans];  // per block: the value of 1
  VecI finite[kSumSpans];                    // per block: all bits, or none
  VecI total[kSumSpans];                     // per block: of all products
  VecI words[kSumSpans][kSumPairs];          // per block: products of two rows
  VecI sums[kSumSpans * kSumParts * kSumSlots];

  const uint16_t* scales[kSumRows];  // per row

  explicit RowSums(const Rows& rows) : Rows(rows) {
    const uint16_t* d = halves(w.scales) + first / kBlock;
    for (int64_t i = 0; i < count; ++i) scales[i] = d + index[i] * (cols / kBlock);
  }

  // A row that is multiplied.
  struct Row {
    const uint16_t* d;  // (blocks)
    VecF h;

    // Of n blocks of span s.
    ST_INLINE VecF product(int s, int n) const { return F16::load(d + s * kLanes, n) * h; }
  };
  ST_INLINE Row row(int64_t i) const { return {scales[i], splat(h[i])}; }
  // Zero past the last one.
  ST_INLINE Row row_or_zero(int64_t i) const {
    return i < count ? row(i) : Row{scales[count - 1], VecF{}};
  }

  // Calls f(s, blocks) for every span; mostly their number is known to the compiler.
  template <typename F>
  ST_INLINE void for_spans(const F& f) const {
    int s = 0;
    for (; (s + 1) * kLanes <= blocks; ++s) f(s, kLanes);
    if (s * kLanes < blocks) f(s, blocks - s * kLanes);
  }
  // Of the quants of all rows, one after the other; runs as far ahead as it gets in fetch_some().
  Fetch<Rows> soon = {this, 0, count, int64_t{blocks} * W::kBlockBytes};

  void find_units(bool cached) {
    if (!cached) fetch_some();
    int s = 0;
    for (; (s + kPeakSpans) * kLanes <= blocks; s += kPeakSpans) find_peaks<kPeakSpans>(s, kLanes);
    for_spans([&](int span, int n) {
      if (span >= s) find_peaks<1>(span, n);
      unit[span] = (VecF)peak[span] * splat(1 / kSumRange);
      const VecF one_over = splat(1.0f) / unit[span];
      inverse[span] = one_over <= splat(FLT_MAX) ? one_over : VecF{};
      finite[span] = unit[span] <= splat(FLT_MAX);  // else it shows in unit
      total[span] = VecI{};
    });
  }

  // The largest products of S spans from s on, the last one of n blocks.
  template <int S>
  void find_peaks(int s, int n) {
    VecI peaks[S] = {};
    for (int64_t i = 0; i < count; ++i) {
      const Row r = row(i);
#pragma GCC unroll 4
      for (int k = 0; k < S; ++k) {
        const VecF p = r.product(s + k, k < S - 1 ? kLanes : n);
        peaks[k] = max(peaks[k], (VecI)p & INT32_MAX);  // as integers: a NaN is largest
      }
    }
    for (int k = 0; k < S; ++k) peak[s + k] = peaks[k];
  }

  // Scales, and meanwhile some of the quants.
  void fetch_some() {
    for (int64_t i = 0; i < count; ++i) {
      for (int b = 0; b < blocks; b += 32) fetch_line(scales[i] + b);
      fetch_line(scales[i] + blocks - 1);
      soon.advance(2);
    }
  }

  // Products as integers: 1.5 * 2^23 is added, and the low bits are the nearest one.
  ST_INLINE VecI rounded(const Row& r, int s, int n) const {
    return (VecI)(r.product(s, n) * inverse[s] + splat(0x1.8p23f));
  }

  // The products of the group that begins at row i.
  ST_INLINE void round_products(int64_t i) {
    for (int pair = 0; pair < kSumPairs; ++pair) {
      const Row even = row_or_zero(i + 2 * pair), odd = row_or_zero(i + 2 * pair + 1);
      for_spans([&](int s, int n) {
        const VecI a = rounded(even, s, n), b = rounded(odd, s, n);
        const VecI two = ((a & 0xFFFF) | b << 16) & finite[s];
        words[s][pair] = two;
        if (W::kRowOffset != 0) total[s] = dot2(total[s], (Bytes)two, ones());
      });
    }
  }
  ST_INLINE static Bytes ones() { return (Bytes)splat(0x10001); }

  // Adds a group to the sums of kChains blocks, or of the n last ones. Meanwhile rows to come are
  // fetched, a few lines at a time: many at once would hold up the loads in between.
  ST_INLINE void add_part(const uint8_t* const* rows, int part, int n, bool cached) {
    WordSum group[kSumSlots] = {};
    const int s = part / kSumParts, block = part % kSumParts * kChains;
    const int64_t at = int64_t{part} * kChains * W::kBlockBytes;
    for (int some = 0; some < kSumPairs; some += kFetchPairs) {
      if (!cached) soon.advance(2 * kFetchPairs * kChains * W::kBlockBytes / 64);
#pragma GCC unroll 4
      for (int k = 0; k < kFetchPairs; ++k) {
        const int pair = some + k;
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
      int part = 0;
      for (; (part + 1) * kChains <= blocks; ++part) {
        add_part(rows, part, kChains, cached);
      }
      if (part < parts) add_part(rows, part, blocks - part * kChains, cached);
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
    Quad values[kChains];
    __builtin_memcpy(values, &v, sizeof v);
    for (int quad = 0; quad < kChains; ++quad) {
      const int column = part * kChains * kBlock + W::word_column(slot, quad) + 4 * half;
      if (column >= blocks * kBlock) continue;
      add_quad(values[quad], y + column);
    }
  }
};

// y (columns begin..end): the sums of all rows, as many rows and columns at a time as Part takes.
template <typename Part>
void sum_parts(const QuantRows& w, const int32_t* index, const float* h, int64_t count,
               int64_t cols, int64_t begin, int64_t end, bool cached, float* y) {
  for (int64_t c = begin; c < end; ++c) y[c] = 0;
  for (int64_t i = 0; i < count; i += Part::kRows) {
    const int64_t rows = count - i < Part::kRows ? count - i : Part::kRows;
    for (int64_t c = begin; c < end; c += Part::kColumns) {
      const int64_t n = end - c < Part::kColumns ? end - c : Part::kColumns;
      Part part({w, index + i, h + i, rows, cols, c, static_cast<int>(n / kBlock)});
      part.find_units(cached);
      part.add_groups(cached);
      part.store_sums(y + c);
    }
  }
}

}  // namespace
}  // namespace st
