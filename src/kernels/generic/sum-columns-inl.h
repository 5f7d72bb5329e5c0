// y = W h for a down matrix regrouped by neuron, reading active neurons only: what a sparse expert
// does with files whose down matrices are not transposed.
//
// h is quantised in blocks of 32 neurons. Within one, all neurons share the scale of an output, so
// integer products are added four neurons at a time, the bytes of their rows interleaved; then come
// one conversion and one multiply-add per output, blocks in ascending order.
//
// Rows are taken whole, a block of neurons at a time, while the next block's are on their way into
// the second-level cache; the outputs wait in memory that stays in the first.

#include "kernels/generic/blocks-inl.h"
#include "kernels/generic/fetch-inl.h"

namespace st {
namespace {

constexpr int kColumnSlots = 8;  // vectors of sums in registers: a part of the columns
constexpr int kPartColumns = kLanes * kColumnSlots;

// The neurons and columns of one call.
template <typename W>
struct NeuronSet {
  const NeuronRows& w;
  const int32_t* index;  // (count), ascending
  int64_t count;
  int64_t cols;
  int64_t begin;  // column

  ST_INLINE const uint8_t* quants(int64_t i) const {
    return w.q + W::offset(index[i], begin / kBlock, cols);
  }
  ST_INLINE const uint8_t* start_fetching(int64_t i) const { return quants(i); }
  // The first neuron from i on that is not in its block of 32.
  ST_INLINE int64_t block_end(int64_t i) const {
    int64_t end = i + 1;
    while (end < count && index[end] / kBlock == index[i] / kBlock) ++end;
    return end;
  }
};

// The active neurons of a block of 32.
template <typename W>
struct NeuronBlock {
  const uint8_t* rows[kBlock];  // a multiple of four, whose q is 0 from count on
  alignas(4) int8_t q[kBlock];
  int count = 0;
  int total = 0;  // of q

  ST_INLINE NeuronBlock(const NeuronSet<W>& set, int64_t i, int64_t end, const int8_t* values) {
    for (; i < end; ++i, ++count) {
      rows[count] = set.quants(i);
      q[count] = values[set.index[i]];
      total += q[count];
    }
    for (int k = count; k % 4 != 0; ++k) {
      rows[k] = rows[0];
      q[k] = 0;
    }
  }

  // Sums of kPartColumns columns, `bytes` bytes of each row from `at` on.
  ST_INLINE void add(int64_t at, int bytes, VecI (&sums)[kColumnSlots]) const {
    for (VecI& v : sums) v = splat(-W::kOffset * total);
    for (int i = 0; i < count; i += 4) {
      const Bytes four = splat_quad(q + i);
      for (int v = 0; v < W::kSumVecs; ++v) {
        Bytes quants[4];
        for (int k = 0; k < 4; ++k) {
          quants[k] = load_bytes(rows[i + k] + at + v * kBytes, bytes - v * kBytes);
        }
        interleave(quants);
        for (int k = 0; k < 4; ++k) W::add_product(quants[k], four, sums + 4 * v + k);
      }
    }
  }
};

// out[slot] += sums * scales * d. scales: of the column tile, in the order of slots.
template <typename W>
ST_INLINE void scale_sums(const VecI (&sums)[kColumnSlots], const uint16_t* scales, int part,
                          float d, VecF* out) {
  for (int slot = 0; slot < kColumnSlots; ++slot) {
    const VecF scale = F16::load(scales + W::scale_place(part, slot), kLanes);
    out[slot] = fma(to_float(sums[slot]), scale * splat(d), out[slot]);
  }
}

// Columns [begin, end), at most kSumColumns.
template <typename W>
void sum_columns_at(const NeuronSet<W>& set, const int8_t* q, const float* d, int64_t end,
                    bool cached, float* y) {
  const int64_t padded = padded_columns(set.cols), columns = end - set.begin;
  const int parts = static_cast<int>((columns + kPartColumns - 1) / kPartColumns);
  VecF out[kSumColumns / kLanes];
  for (int i = 0; i < parts * kColumnSlots; ++i) out[i] = VecF{};
  const int64_t bytes = columns / kBlock * W::kBlockBytes;
  for (int64_t i = 0, next = 0; i < set.count; i = next) {
    next = set.block_end(i);
    const NeuronBlock<W> block(set, i, next, q);
    const int64_t ahead = next < set.count ? set.block_end(next) : next;
    Fetch<NeuronSet<W>> soon = {&set, next, ahead, bytes};
    const int lines = static_cast<int>((ahead - next) * bytes / 64) / parts + 1;
    const int64_t b = set.index[i] / kBlock;
    for (int part = 0; part < parts; ++part) {
      if (!cached) soon.advance(lines);
      const int64_t c = set.begin + int64_t{part} * kPartColumns;
      const int64_t at = int64_t{part} * W::kSumVecs * kBytes;
      VecI sums[kColumnSlots];
      if (end - c >= kPartColumns) {
        block.add(at, W::kSumVecs * kBytes, sums);
      } else {
        block.add(at, static_cast<int>((end - c) / kBlock) * W::kBlockBytes, sums);
      }
      scale_sums<W>(sums, set.w.d + b * padded + c / kColumnTile * kColumnTile,
                    static_cast<int>(c % kColumnTile / kPartColumns), d[b],
                    out + part * kColumnSlots);
    }
  }
  for (int slot = 0; slot < parts * kColumnSlots; ++slot) {
    alignas(64) float lanes[kLanes];
    store(lanes, out[slot]);
    for (int quad = 0; quad < kChains; ++quad) {
      const int64_t column =
          slot / kColumnSlots * kPartColumns + W::slot_column(slot % kColumnSlots, quad);
      if (column < columns) __builtin_memcpy(y + column, lanes + quad * 4, 16);
    }
  }
}

template <typename W>
void sum_columns_block(const NeuronRows& w, const int32_t* index, int64_t count, const int8_t* q,
                       const float* d, int64_t cols, int64_t begin, int64_t end, bool cached,
                       float* y) {
  for (int64_t c = begin; c < end; c += kSumColumns) {
    const int64_t stop = end - c < kSumColumns ? end : c + kSumColumns;
    sum_columns_at<W>({w, index, count, cols, c}, q, d, stop, cached, y + c);
  }
}

}  // namespace
}  // namespace st
