// y = h W for the rows of W whose h is not zero: the down projection of a sparse expert, W (F, D).
//
// A scale belongs to one row and 32 columns, so it cannot be taken out of a sum over rows; it is
// multiplied into h instead. For one column block these products are rounded to 15-bit integers,
// 128 * high + low, which the byte dot product can multiply: four rows at a time, the bytes of the
// rows interleaved. Integer sums are exact, so bits depend neither on order nor on who adds.
//
// Memory sets the pace, so rows are taken whole, a group at a time, while the next group is on its
// way into the first-level cache; the sums of all columns wait in memory that stays there.

#include <cfloat>

#include "kernels/generic/blocks-inl.h"
#include "kernels/generic/fetch-inl.h"

namespace st {
namespace {

constexpr int64_t kSumRows = 512;      // rows that share a scale; keeps integer sums below 2^31
constexpr int64_t kSumColumns = 2048;  // columns at a time
constexpr int kSumQuads = 4;           // times four rows are a group
constexpr int kSumSlots = 8;           // vectors of sums in registers: a part of the columns
constexpr int kSumParts = 4;           // parts that are kLanes blocks together, a span
constexpr int kSumSpans = kSumColumns / kBlock / kLanes;
constexpr float kSumRange = 127 * 128;

ST_INLINE VecI four_bytes(const VecI (&v)[4]) {
  return (v[0] & 255) | (v[1] & 255) << 8 | (v[2] & 255) << 16 | v[3] << 24;
}

// The rows and columns of one call, and what is known of them.
template <typename W>
struct RowSums {
  const QuantRows& w;
  const int32_t* index;  // (count)
  const float* h;        // (count)
  int64_t count;         // <= kSumRows
  int64_t cols;
  int64_t first;  // column
  int blocks;     // from there on, <= kSumColumns / kBlock

  VecF unit[kSumSpans], inverse[kSumSpans];                    // per block: the value of 1
  VecI finite[kSumSpans];                                      // per block: all bits, or none
  VecI total[kSumSpans];                                       // per block: of all products
  VecI high[kSumSpans][kSumQuads], low[kSumSpans][kSumQuads];  // per block: bytes of four rows
  VecI sums[kSumSpans * kSumParts * kSumSlots];

  int spans() const { return (blocks + kLanes - 1) / kLanes; }
  int in_span(int s) const {  // blocks
    const int left = blocks - s * kLanes;
    return left < kLanes ? left : kLanes;
  }
  ST_INLINE VecF product(int64_t i, int s) const {
    const uint16_t* d = w.d + index[i] * (cols / kBlock) + first / kBlock + s * kLanes;
    return F16::load(d, in_span(s)) * splat(h[i]);
  }
  ST_INLINE const uint8_t* quants(int64_t i) const {
    return w.q + W::offset(index[i < count ? i : count - 1], first / kBlock, cols);
  }
  // The quants of up to a group of rows from i on.
  ST_INLINE Fetch<RowSums> fetch(int64_t i) const {
    const int64_t end = i + 4 * kSumQuads < count ? i + 4 * kSumQuads : count;
    return {*this, i, end, int64_t{blocks} * W::kBlockBytes};
  }

  void find_units() {
    constexpr int64_t kAhead = 8;
    VecI peak[kSumSpans] = {};
    Fetch<RowSums> quants = fetch(0);
    for (int64_t i = 0; i < count; ++i) {
      if (i + kAhead < count) {
        const uint16_t* d = w.d + index[i + kAhead] * (cols / kBlock) + first / kBlock;
        for (int b = 0; b < blocks; b += 32) fetch_line(d + b);
        fetch_line(d + blocks - 1);
      }
      quants.advance(2);
      for (int s = 0; s < spans(); ++s) {
        peak[s] = max(peak[s], (VecI)product(i, s) & INT32_MAX);  // as integers: a NaN is largest
      }
    }
    for (int s = 0; s < spans(); ++s) {
      unit[s] = (VecF)peak[s] * splat(1 / kSumRange);
      const VecF one_over = splat(1.0f) / unit[s];
      inverse[s] = one_over <= splat(FLT_MAX) ? one_over : VecF{};
      finite[s] = unit[s] <= splat(FLT_MAX);  // else it shows in unit
      total[s] = VecI{};
    }
  }

  // h times the scales, as integers, of the group that begins at row i; zero past the last row.
  ST_INLINE void round_products(int64_t i) {
    for (int s = 0; s < spans(); ++s) {
      for (int quad = 0; quad < kSumQuads; ++quad) {
        VecI hs[4], ls[4];
        for (int k = 0; k < 4; ++k) {
          const int64_t at = i + 4 * quad + k;
          const VecF p = at < count ? product(at, s) * inverse[s] : VecF{};
          const VecI rounded = ((VecI)(p + splat(0x1.8p23f)) - 0x4B400000) & finite[s];
          hs[k] = (rounded + 64) >> 7;
          ls[k] = rounded - (hs[k] << 7);
          total[s] += rounded;
        }
        high[s][quad] = four_bytes(hs);
        low[s][quad] = four_bytes(ls);
      }
    }
  }

  // Four rows times four products per block, `bytes` bytes of each row.
  ST_INLINE static void add_rows(const uint8_t* const* rows, int64_t at, int bytes,
                                 const int32_t* high_products, const int32_t* low_products,
                                 VecI (&hs)[kSumSlots], VecI (&ls)[kSumSlots]) {
    for (int v = 0; v < W::kSumVecs; ++v) {
      Bytes q[4];
      for (int k = 0; k < 4; ++k) q[k] = load_bytes(rows[k] + at + v * kBytes, bytes - v * kBytes);
      interleave(q);
      const VecI h4 = W::spread_products(high_products, v);
      const VecI l4 = W::spread_products(low_products, v);
      for (int k = 0; k < 4; ++k) W::add_products(q[k], h4, l4, hs + 4 * v + k, ls + 4 * v + k);
    }
  }

  // Adds a group to the sums of kChains blocks, or of the n last ones.
  ST_INLINE void add_part(const uint8_t* const* rows, int part, int n) {
    VecI hs[kSumSlots] = {}, ls[kSumSlots] = {};
    const int s = part / kSumParts, block = part % kSumParts * kChains;
    const int64_t at = int64_t{part} * kChains * W::kBlockBytes;
    for (int quad = 0; quad < kSumQuads; ++quad) {
      add_rows(rows + 4 * quad, at, n * W::kBlockBytes,
               reinterpret_cast<const int32_t*>(&high[s][quad]) + block,
               reinterpret_cast<const int32_t*>(&low[s][quad]) + block, hs, ls);
    }
    VecI* to = sums + part * kSumSlots;
    for (int slot = 0; slot < kSumSlots; ++slot) to[slot] += (hs[slot] << 7) + ls[slot];
  }

  void add_groups() {
    const int parts = (blocks + kChains - 1) / kChains;
    for (int p = 0; p < parts * kSumSlots; ++p) sums[p] = VecI{};
    for (int64_t i = 0; i < count; i += 4 * kSumQuads) {
      round_products(i);
      const uint8_t* rows[4 * kSumQuads];
      for (int k = 0; k < 4 * kSumQuads; ++k) rows[k] = quants(i + k);
      Fetch<RowSums> next = fetch(i + 4 * kSumQuads);
      int part = 0;
      for (; (part + 1) * kChains <= blocks; ++part) {
        next.advance(4 * kSumQuads * kChains * W::kBlockBytes / 64);
        add_part(rows, part, kChains);
      }
      if (part < parts) add_part(rows, part, blocks - part * kChains);
    }
  }

  // Adds the sums to y (columns).
  void store_sums(float* y) const {
    constexpr int kSlots = kSumSlots / W::kSumVecs;  // of one vector of quants
    for (int part = 0; part * kChains < blocks; ++part) {
      const int s = part / kSumParts, block = part % kSumParts * kChains;
      for (int v = 0; v < W::kSumVecs; ++v) {
        const VecI totals = spread_blocks(total[s], block, v) * W::kOffset;
        const VecF units = (VecF)spread_blocks((VecI)unit[s], block, v);
        for (int slot = v * kSlots; slot < (v + 1) * kSlots; ++slot) {
          const VecF values = to_float(sums[part * kSumSlots + slot] - totals) * units;
          store_slot(part, slot, reinterpret_cast<const float*>(&values), y);
        }
      }
    }
  }

  // Of the values of a span's blocks, those from `block` on: each in the lanes of its columns.
  ST_INLINE static VecI spread_blocks(const VecI& of_span, int block, int v) {
    return W::spread_products(reinterpret_cast<const int32_t*>(&of_span) + block, v);
  }

  // Four lanes of a slot are four neighbouring columns.
  ST_INLINE void store_slot(int part, int slot, const float* values, float* y) const {
    for (int quad = 0; quad < kChains; ++quad) {
      const int column = part * kChains * kBlock + W::slot_column(slot, quad);
      if (column >= blocks * kBlock) continue;
      for (int k = 0; k < 4; ++k) y[column + k] += values[quad * 4 + k];
    }
  }
};

template <typename W>
void sum_rows_block(const QuantRows& w, const int32_t* index, const float* h, int64_t count,
                    int64_t cols, int64_t begin, int64_t end, float* y) {
  for (int64_t c = begin; c < end; ++c) y[c] = 0;
  for (int64_t i = 0; i < count; i += kSumRows) {
    const int64_t rows = count - i < kSumRows ? count - i : kSumRows;
    for (int64_t c = begin; c < end; c += kSumColumns) {
      const int64_t n = end - c < kSumColumns ? end - c : kSumColumns;
      RowSums<W> part{w, index + i, h + i, rows, cols, c, static_cast<int>(n / kBlock)};
      part.find_units();
      part.add_groups();
      part.store_sums(y + c);
    }
  }
}

}  // namespace
}  // namespace st
