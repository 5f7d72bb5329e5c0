// y = h W for the rows of W whose h is not zero: the down projection of a sparse expert, W (F, D).
//
// A scale belongs to one row and 32 columns, so it cannot be taken out of a sum over rows; it is
// multiplied into h instead. For one column block these products are rounded to 15-bit integers,
// 128 * high + low, which the byte dot product can multiply: four rows at a time, the bytes of the
// rows interleaved. Integer sums are exact, so bits depend neither on order nor on who adds.

#include <cfloat>

#include "kernels/generic/blocks-inl.h"

namespace st {
namespace {

constexpr int64_t kSumRows = 512;  // rows that share a scale; keeps integer sums below 2^24
constexpr int kSumSlots = 8;       // vectors of sums in registers: a part of the columns
constexpr int kSumParts = 4;       // parts that are kLanes blocks together
constexpr float kSumRange = 127 * 128;

// h times the scales of n <= kLanes column blocks, as integers.
struct RoundedProducts {
  VecI high[kSumRows / 4],
      low[kSumRows / 4];           // [group of four rows], per lane four bytes of a block
  alignas(64) float unit[kLanes];  // value of 1
  alignas(64) int32_t high_total[kLanes], low_total[kLanes];
};

ST_INLINE VecI four_bytes(const VecI (&v)[4]) {
  return (v[0] & 255) | (v[1] & 255) << 8 | (v[2] & 255) << 16 | v[3] << 24;
}

// d: scales of the first block. REQUIRES: count <= kSumRows.
ST_INLINE void round_products(const uint16_t* d, int64_t row_blocks, const int32_t* index,
                              const float* h, int64_t count, int n, RoundedProducts& out) {
  VecI peak = {};
  for (int64_t i = 0; i < count; ++i) {
    const VecF product = F16::load(d + index[i] * row_blocks, n) * splat(h[i]);
    peak = max(peak, (VecI)product & INT32_MAX);  // as integers: a NaN is the largest
  }
  const VecF unit = (VecF)peak * splat(1 / kSumRange);
  const VecF inverse = splat(1.0f) / unit;
  const VecF usable = inverse <= splat(FLT_MAX) ? inverse : VecF{};  // else it shows in unit
  VecI high_total = {}, low_total = {};
  for (int64_t i = 0; i < count; i += 4) {
    VecI high[4], low[4];
    for (int k = 0; k < 4; ++k) {
      VecF product = {};
      if (i + k < count) {
        product = F16::load(d + index[i + k] * row_blocks, n) * splat(h[i + k]) * usable;
      }
      const VecI rounded = (VecI)(product + splat(0x1.8p23f)) - 0x4B400000;
      high[k] = (rounded + 64) >> 7;
      low[k] = rounded - (high[k] << 7);
      high_total += high[k];
      low_total += low[k];
    }
    out.high[i / 4] = four_bytes(high);
    out.low[i / 4] = four_bytes(low);
  }
  store(out.unit, unit);
  store(out.high_total, high_total);
  store(out.low_total, low_total);
}

// Four rows times four products per block, added to the sums of one part.
template <typename W>
ST_INLINE void add_rows(const uint8_t* const (&rows)[4], int bytes, const int32_t* high_products,
                        const int32_t* low_products, VecI (&high)[kSumSlots],
                        VecI (&low)[kSumSlots]) {
  for (int v = 0; v < W::kSumVecs; ++v) {
    Bytes q[4];
    for (int k = 0; k < 4; ++k) q[k] = load_bytes(rows[k] + v * kBytes, bytes - v * kBytes);
    interleave(q);
    const VecI h = W::spread_products(high_products, v);
    const VecI l = W::spread_products(low_products, v);
    for (int k = 0; k < 4; ++k) {
      W::add_products(q[k], h, l, high + 4 * v + k, low + 4 * v + k);
    }
  }
}

// Adds what `count` rows give columns c .. c + n * 32, n <= kLanes, to y.
template <typename W>
void sum_rows_span(const QuantRows& w, const int32_t* index, const float* h, int64_t count,
                   int64_t cols, int64_t c, int n, float* y) {
  RoundedProducts products;
  round_products(w.d + c / kBlock, cols / kBlock, index, h, count, n, products);
  for (int part = 0; part < kSumParts; ++part) {
    const int first = part * kChains;  // block of this part
    const int blocks = n - first < kChains ? n - first : kChains;
    if (blocks <= 0) return;
    const int bytes = blocks * W::kBlockBytes;
    VecI high[kSumSlots] = {}, low[kSumSlots] = {};
    for (int64_t i = 0; i < count; i += 4) {
      const uint8_t* rows[4];
      for (int k = 0; k < 4; ++k) {
        const int64_t row = index[i + k < count ? i + k : i];
        rows[k] = w.q + W::offset(row, c / kBlock + first, cols);
      }
      const int32_t* hp = reinterpret_cast<const int32_t*>(&products.high[i / 4]) + first;
      const int32_t* lp = reinterpret_cast<const int32_t*>(&products.low[i / 4]) + first;
      if (blocks == kChains) {
        add_rows<W>(rows, kChains * W::kBlockBytes, hp, lp, high, low);
      } else {
        add_rows<W>(rows, bytes, hp, lp, high, low);
      }
    }
    // Four lanes of a slot are four neighbouring columns.
    for (int slot = 0; slot < kSumSlots; ++slot) {
      alignas(64) int32_t hs[kLanes], ls[kLanes];
      store(hs, high[slot]);
      store(ls, low[slot]);
      for (int quad = 0; quad < kChains; ++quad) {
        const int column = W::slot_column(slot, quad);
        const int b = first + column / kBlock;
        if (b >= n) continue;
        for (int k = 0; k < 4; ++k) {
          const int hv = hs[quad * 4 + k] - W::kOffset * products.high_total[b];
          const int lv = ls[quad * 4 + k] - W::kOffset * products.low_total[b];
          y[first * kBlock + column + k] +=
              (static_cast<float>(hv) * 128 + static_cast<float>(lv)) * products.unit[b];
        }
      }
    }
  }
}

template <typename W>
void sum_rows_block(const QuantRows& w, const int32_t* index, const float* h, int64_t count,
                    int64_t cols, int64_t begin, int64_t end, float* y) {
  for (int64_t c = begin; c < end; ++c) y[c] = 0;
  for (int64_t i = 0; i < count; i += kSumRows) {
    const int64_t rows = count - i < kSumRows ? count - i : kSumRows;
    for (int64_t c = begin; c < end; c += kLanes * kBlock) {
      const int64_t blocks = (end - c) / kBlock;
      sum_rows_span<W>(w, index + i, h + i, rows, cols, c,
                       blocks < kLanes ? static_cast<int>(blocks) : kLanes, y + c);
    }
  }
}

}  // namespace
}  // namespace st
