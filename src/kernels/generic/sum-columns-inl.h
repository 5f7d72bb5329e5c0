// y = W h for a down matrix regrouped by neuron, reading active neurons only: what a sparse expert
// does with files whose down matrices are not transposed.
//
// h is quantised in blocks of 32 neurons. Within one, or half of one, all neurons share the scale
// of an output, so integer products are added four neurons at a time, the bytes of their rows
// interleaved; then come one conversion and one multiply-add per output, and another where there
// are minimums, blocks in ascending order.
//
// Rows are taken whole, a block of neurons at a time, while the next block's are on their way into
// the second-level cache; the outputs wait in memory that stays in the first.

#include "kernels/generic/fetch-inl.h"
#include "kernels/generic/neurons-inl.h"

namespace st {
namespace {

constexpr int kPartColumns = kLanes * kColumnSlots;

// The neurons and columns of one call. W: see neurons-inl.h.
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
  // The first neuron from i on that does not share its scales.
  ST_INLINE int64_t block_end(int64_t i) const {
    int64_t end = i + 1;
    while (end < count && index[end] / W::kNeurons == index[i] / W::kNeurons) ++end;
    return end;
  }
};

// The active ones among neurons that share their scales.
template <typename W>
struct NeuronBlock {
  const uint8_t* rows[W::kNeurons];  // a multiple of four, whose q is 0 from count on
  alignas(4) int8_t q[W::kNeurons];
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

  // Sums of kPartColumns columns: n <= kChains blocks from block b on, of rows of `blocks`.
  ST_INLINE void add(int64_t b, int n, int64_t blocks, VecI (&sums)[kColumnSlots]) const {
    for (VecI& v : sums) v = splat(-W::kOffset * total);
    for (int i = 0; i < count; i += 4) W::add_four(rows + i, b, n, blocks, splat_quad(q + i), sums);
  }
};

// out[slot] += what the sums of a part are worth. total: of the activations.
template <typename W>
ST_INLINE void scale_sums(const VecI (&sums)[kColumnSlots], const typename W::Scales& scales,
                          int part, float d, int total, VecF* out) {
  for (int slot = 0; slot < kColumnSlots; ++slot) {
    const int place = W::scale_place(part, slot);
    out[slot] = fma(to_float(sums[slot]), scales.scale(place) * splat(d), out[slot]);
    if constexpr (W::Scales::kHasMins) {
      out[slot] = fma(scales.min(place), splat(d * static_cast<float>(total)), out[slot]);
    }
  }
}

// Columns [begin, end), at most kSumColumns.
template <typename W>
void sum_columns_at(const NeuronSet<W>& set, const int8_t* q, const float* d, int64_t end,
                    bool cached, float* y) {
  const int64_t padded = padded_columns(set.cols), columns = end - set.begin;
  const int64_t blocks = columns / kBlock;
  const int parts = static_cast<int>((columns + kPartColumns - 1) / kPartColumns);
  VecF out[kSumColumns / kLanes];
  for (int i = 0; i < parts * kColumnSlots; ++i) out[i] = VecF{};
  const int64_t bytes = blocks * W::kBlockBytes;
  for (int64_t i = 0, next = 0; i < set.count; i = next) {
    next = set.block_end(i);
    const NeuronBlock<W> block(set, i, next, q);
    const int64_t ahead = next < set.count ? set.block_end(next) : next;
    Fetch<NeuronSet<W>> soon = {&set, next, ahead, bytes};
    const int lines = static_cast<int>((ahead - next) * bytes / 64) / parts + 1;
    const int64_t neurons = set.index[i] / W::kNeurons;
    for (int part = 0; part < parts; ++part) {
      if (!cached) soon.advance(lines);
      const int64_t c = set.begin + int64_t{part} * kPartColumns, b = int64_t{part} * kChains;
      VecI sums[kColumnSlots];
      if (W::kPacked && blocks - b >= kChains) {
        block.add(b, kChains, blocks, sums);
      } else {
        block.add(b, static_cast<int>(blocks - b < kChains ? blocks - b : kChains), blocks, sums);
      }
      const typename W::Scales scales(set.w, neurons, padded, c / kColumnTile * kColumnTile);
      scale_sums<W>(sums, scales, static_cast<int>(c % kColumnTile / kPartColumns),
                    d[set.index[i] / kBlock], block.total, out + part * kColumnSlots);
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
