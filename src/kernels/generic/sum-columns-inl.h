// y = W h for a down matrix regrouped by neuron, reading active neurons only: what a sparse expert
// does with files whose down matrices are not transposed.
//
// h is quantised in blocks of 32 neurons. Within one, all neurons share the scale of an output, so
// integer products are added four neurons at a time, as in sum-rows-inl.h; then come one conversion
// and one multiply-add per output, blocks in ascending order.

#include "kernels/generic/blocks-inl.h"

namespace st {
namespace {

constexpr int kPartColumns = kLanes * kSumSlots;

// The neurons of one block of 32: index[0..count), not empty, b their block.
template <typename W>
ST_INLINE void add_neurons(const NeuronRows& w, const int32_t* index, int64_t count,
                           const int8_t* q, int64_t cols, int64_t c, int bytes,
                           VecI (&sums)[kSumSlots]) {
  int total = 0;
  for (int64_t i = 0; i < count; ++i) total += q[index[i]];
  for (VecI& v : sums) v = splat(-W::kOffset * total);
  for (int64_t i = 0; i < count; i += 4) {
    const uint8_t* rows[4];
    int8_t products[4] = {};
    for (int k = 0; k < 4; ++k) {
      const int64_t j = index[i + k < count ? i + k : i];
      rows[k] = w.q + W::offset(j, c / kBlock, cols);
      if (i + k < count) products[k] = q[j];
    }
    const Bytes four = splat_quad(products);
    for (int v = 0; v < W::kSumVecs; ++v) {
      Bytes quants[4];
      for (int k = 0; k < 4; ++k) quants[k] = load_bytes(rows[k] + v * kBytes, bytes - v * kBytes);
      interleave(quants);
      for (int k = 0; k < 4; ++k) W::add_product(quants[k], four, sums + 4 * v + k);
    }
  }
}

template <typename W>
void sum_columns_block(const NeuronRows& w, const int32_t* index, int64_t count, const int8_t* q,
                       const float* d, int64_t cols, int64_t begin, int64_t end, float* y) {
  const int64_t padded = padded_columns(cols);
  for (int64_t c = begin; c < end; c += kPartColumns) {
    const int n = static_cast<int>(end - c < kPartColumns ? end - c : kPartColumns);
    const int bytes = n / kBlock * W::kBlockBytes;
    VecF out[kSumSlots] = {};
    for (int64_t i = 0; i < count;) {
      const int64_t b = index[i] / kBlock;
      int64_t stop = i + 1;
      while (stop < count && index[stop] / kBlock == b) ++stop;
      VecI sums[kSumSlots];
      if (n == kPartColumns) {
        add_neurons<W>(w, index + i, stop - i, q, cols, c, kChains * W::kBlockBytes, sums);
      } else {
        add_neurons<W>(w, index + i, stop - i, q, cols, c, bytes, sums);
      }
      const uint16_t* scales = w.d + b * padded + c / kColumnTile * kColumnTile;
      const int part = static_cast<int>(c % kColumnTile / kPartColumns);
      const VecF db = splat(d[b]);
      for (int slot = 0; slot < kSumSlots; ++slot) {
        const VecF scale = F16::load(scales + W::scale_place(part, slot), kLanes);
        out[slot] = fma(to_float(sums[slot]), scale * db, out[slot]);
      }
      i = stop;
    }
    for (int slot = 0; slot < kSumSlots; ++slot) {
      alignas(64) float lanes[kLanes];
      store(lanes, out[slot]);
      for (int quad = 0; quad < kChains; ++quad) {
        const int column = W::slot_column(slot, quad);
        if (column < n) __builtin_memcpy(y + c + column, lanes + quad * 4, 16);
      }
    }
  }
}

}  // namespace
}  // namespace st
