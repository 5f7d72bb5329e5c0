// y = W x for few tokens and weights in blocks of 32: the kernel that writes text.
//
// One step takes kChains blocks of four rows. A row's piece is one vector of quants (two for Q8_0);
// the integer products of a block end up in the four lanes of one 128-bit part, sum_quads() adds
// them up for four rows at once, and one multiply-add scales 4 * kChains block sums. So every row
// has kChains float accumulators, block b going to number b % kChains; block-gemm-inl.h keeps the
// same ones, which makes the bits equal whatever the number of tokens.

#include "kernels/generic/blocks-inl.h"
#include "kernels/generic/fetch-inl.h"

namespace st {
namespace {

constexpr int kGroup = 4;         // rows whose block sums share a vector
constexpr int kLinesAhead = 128;  // how far memory runs ahead of arithmetic

// The activations of one step, n <= kChains blocks from block b on.
struct StepInput {
  Bytes low, high;  // values 0..15 and 16..31 of each block
  VecI start;       // -kOffset * sum / 4 in each lane, for weights stored with an offset
  VecF d;

  template <typename W>
  ST_INLINE static StepInput load(const Q8Rows& x, int64_t i, int n) {
    StepInput in;
    const int8_t* q = x.q + i * kBlock;
    split_halves(load_bytes(q, n * kBlock), load_bytes(q + sizeof(Bytes), n * kBlock - kBytes),
                 in.low, in.high);
    in.start = -(spread(x.sum + i, n) * (W::kOffset / 4));
    in.d = spread(x.d + i, n);
    return in;
  }
};

// The rows of one call, the last one again past the end.
template <typename W>
struct GemvRows {
  const QuantRows& w;
  const int32_t* index;  // may be null: the first ones
  int64_t count;
  int64_t cols;

  ST_INLINE int64_t row(int64_t i) const {
    const int64_t clamped = i < count ? i : count - 1;
    return index == nullptr ? clamped : int64_t{index[clamped]};
  }
  ST_INLINE const uint8_t* quants(int64_t i) const {
    if (index != nullptr) {  // else hardware sees them coming
      const uint16_t* d = w.d + row(i) * (cols / kBlock);
      for (int64_t b = 0; b < cols / kBlock; b += 32) fetch_line(d + b);
    }
    return w.q + W::offset(row(i), 0, cols);
  }
};

// W: how a block type is read, see blocks-inl.h.
template <typename W, int G, int T>
struct BlockTile {
  const QuantRows& w;
  const Q8Rows& x;
  int64_t cols;

  // rows: the G * kGroup rows of this tile.
  ST_INLINE void run(const int64_t* rows, Fetch<GemvRows<W>>& fetch, int64_t t0, float* y,
                     int64_t y_stride, int count) const {
    const int64_t blocks = cols / kBlock;
    VecF sums[G][T] = {};
    int64_t b = 0;
    for (; b + kChains <= blocks; b += kChains) step(rows, fetch, t0, b, kChains, sums);
    if (b < blocks) step(rows, fetch, t0, b, static_cast<int>(blocks - b), sums);
    for (int t = 0; t < T; ++t) {
      for (int g = 0; g < G; ++g) {
        store_rows(y + (t0 + t) * y_stride + g * kGroup, sum_chains(sums[g][t]),
                   count - g * kGroup);
      }
    }
  }

  ST_INLINE void step(const int64_t* rows, Fetch<GemvRows<W>>& fetch, int64_t t0, int64_t b, int n,
                      VecF (&sums)[G][T]) const {
    const int64_t blocks = cols / kBlock;
    if (t0 == 0) fetch.advance(G * W::kSumVecs * kGroup * kBytes / 64);
    StepInput in[T];
    for (int t = 0; t < T; ++t) {
      in[t] = StepInput::template load<W>(x, (t0 + t) * blocks + b, n);
    }
    for (int g = 0; g < G; ++g) {
      const int64_t* r = rows + g * kGroup;
      W ws[kGroup];
      for (int i = 0; i < kGroup; ++i) {
        ws[i] = W::load(w.q + W::offset(r[i], b, cols), n);
      }
      const uint16_t* d = w.d + b;
      const VecF scale =
          scales(d + r[0] * blocks, d + r[1] * blocks, d + r[2] * blocks, d + r[3] * blocks, n);
      for (int t = 0; t < T; ++t) {
        VecI quads[kGroup];
        for (int i = 0; i < kGroup; ++i) {
          quads[i] = ws[i].dot_high(ws[i].dot_low(in[t].start, in[t].low), in[t].high);
        }
        const VecI total = sum_quads(quads[0], quads[1], quads[2], quads[3]);
        sums[g][t] = fma(to_float(total), scale * in[t].d, sums[g][t]);
      }
    }
  }
};

// Rows i .. i + G * kGroup of the call.
template <typename W, int G>
void gemv_tile(const GemvRows<W>& rows, Fetch<GemvRows<W>>& fetch, int64_t i, const Q8Rows& x,
               int64_t tokens, float* y, int64_t y_stride) {
  constexpr int kTile = G * kGroup;
  int64_t tile[kTile];
  for (int k = 0; k < kTile; ++k) tile[k] = rows.row(i + k);
  const int count = rows.count - i < kTile ? static_cast<int>(rows.count - i) : kTile;
  int64_t t = 0;
  for (; t + 2 <= tokens; t += 2) {
    BlockTile<W, G, 2>{rows.w, x, rows.cols}.run(tile, fetch, t, y + i, y_stride, count);
  }
  if (t < tokens) {
    BlockTile<W, G, 1>{rows.w, x, rows.cols}.run(tile, fetch, t, y + i, y_stride, count);
  }
}

template <typename W>
void gemv_block(const QuantRows& w, const int32_t* index, int64_t count, const Q8Rows& x,
                int64_t tokens, int64_t cols, float* y, int64_t y_stride) {
  constexpr int kTile = kGemvGroups * kGroup;
  const GemvRows<W> rows{w, index, count, cols};
  const int64_t bytes = cols / kBlock * W::kBlockBytes;
  Fetch<GemvRows<W>> fetch = index != nullptr ? Fetch<GemvRows<W>>{rows, 0, count, bytes}
                                              : Fetch<GemvRows<W>>{rows, 0, 1, count * bytes, true};
  fetch.advance(kLinesAhead);
  int64_t i = 0;
  for (; count - i > kTile - kGroup; i += kTile) {
    gemv_tile<W, kGemvGroups>(rows, fetch, i, x, tokens, y, y_stride);
  }
  for (; i < count; i += kGroup) gemv_tile<W, 1>(rows, fetch, i, x, tokens, y, y_stride);
}

}  // namespace
}  // namespace st
