// y = W x for few tokens and weights in blocks of 32: the kernel that writes text.
//
// One vector takes kChains blocks of four rows. A row's piece is one vector of quants (two for
// Q8_0); the integer products of a block end up in the four lanes of one 128-bit part, sum_quads()
// adds them up for four rows at once, and one multiply-add scales 4 * kChains block sums. A step is
// kTune.step_vecs vectors, whose scales are loaded together. So every row has kChains float
// accumulators, block b going to number b % kChains; block-gemm-inl.h keeps the same ones, which
// makes the bits equal whatever the number of tokens.

#include "kernels/generic/blocks-inl.h"
#include "kernels/generic/fetch-inl.h"

namespace st {
namespace {

constexpr int kGroup = 4;  // rows whose block sums share a vector
constexpr int kStepBlocks = kTune.step_vecs * kChains;
constexpr int kLinesAhead = 128;  // how far memory runs ahead of arithmetic
constexpr int kScaleRowsAhead = 16;

// The activations of one step, n <= kStepBlocks blocks from block i on.
struct StepInput {
  // -kOffset * sum / 4 in each lane, for weights stored with an offset
  VecI start[kTune.step_vecs];
  VecF d[kTune.step_vecs];

  template <typename W>
  ST_INLINE static StepInput load(const Q8Rows& x, int64_t i, int n) {
    StepInput in;
    spread_negative(x.sum + i, n, W::kOffset / 4, in.start);
    spread(x.d + i, n, in.d);
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
  // Where the quants of row i are; the scales of a row on its own are asked for at once.
  ST_INLINE const uint8_t* start_fetching(int64_t i) const {
    if (index != nullptr) fetch_scales(row(i), 1);
    return w.q + W::offset(row(i), 0, cols);
  }
  // Where all rows are one run of memory, their scales are another.
  ST_INLINE void fetch_scales_ahead(int64_t i, int64_t n) const {
    if (kTune.fetch_onward && index == nullptr) fetch_scales(i + kScaleRowsAhead, n);
  }
  ST_INLINE void fetch_scales(int64_t r, int64_t n) const {
    const uint16_t* d = w.d + r * (cols / kBlock);
    for (int64_t b = 0; b < n * (cols / kBlock); b += 32) fetch_line(d + b);
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
    const uint8_t* starts[G * kGroup];
    for (int i = 0; i < G * kGroup; ++i) starts[i] = w.q + W::offset(rows[i], 0, cols);
    VecF sums[G][T] = {};
    int64_t b = 0;
    for (; b + kStepBlocks <= blocks; b += kStepBlocks) {
      step(rows, starts, fetch, t0, b, kStepBlocks, sums);
    }
    if (b < blocks) step(rows, starts, fetch, t0, b, static_cast<int>(blocks - b), sums);
    for (int t = 0; t < T; ++t) {
      for (int g = 0; g < G; ++g) {
        store_rows(y + (t0 + t) * y_stride + g * kGroup, sum_chains(sums[g][t]),
                   count - g * kGroup);
      }
    }
  }

  ST_INLINE void step(const int64_t* rows, const uint8_t* const* starts, Fetch<GemvRows<W>>& fetch,
                      int64_t t0, int64_t b, int n, VecF (&sums)[G][T]) const {
    const int64_t blocks = cols / kBlock;
    if (!kTune.fetch_evenly && t0 == 0) {
      fetch.advance(G * W::kSumVecs * kGroup * kTune.step_vecs * kBytes / 64);
    }
    StepInput in[T];
    for (int t = 0; t < T; ++t) {
      in[t] = StepInput::template load<W>(x, (t0 + t) * blocks + b, n);
    }
    VecF scale[G][kTune.step_vecs];
    if (kTune.step_vecs > 1) load_scales(rows, b, n, 0, G, scale);
    const int vecs = (n + kChains - 1) / kChains;
    ST_UNROLL
    for (int s = 0; s < vecs; ++s) {
      if (kTune.fetch_evenly && t0 == 0) fetch.advance(G * W::kSumVecs * kGroup * kBytes / 64);
      step_vector(rows, starts, t0, b, n, s, in, scale, sums);
    }
  }

  // Of groups [begin, end).
  ST_INLINE void load_scales(const int64_t* rows, int64_t b, int n, int begin, int end,
                             VecF (&scale)[G][kTune.step_vecs]) const {
    const int64_t blocks = cols / kBlock;
    const uint16_t* d = w.d + b;
    for (int g = begin; g < end; ++g) {
      const int64_t* r = rows + g * kGroup;
      scales(d + r[0] * blocks, d + r[1] * blocks, d + r[2] * blocks, d + r[3] * blocks, n,
             scale[g]);
    }
  }

  // Vector s of a step.
  ST_INLINE void step_vector(const int64_t* rows, const uint8_t* const* starts, int64_t t0,
                             int64_t b, int n, int s, const StepInput (&in)[T],
                             VecF (&scale)[G][kTune.step_vecs], VecF (&sums)[G][T]) const {
    const int64_t at = b + s * kChains;
    const int left = n - s * kChains < kChains ? n - s * kChains : kChains;
    Bytes low[T], high[T];  // values 0..15 and 16..31 of each block
    for (int t = 0; t < T; ++t) {
      const int8_t* q = x.q + (t0 + t) * cols + at * kBlock;
      split_halves(load_bytes(q, left * kBlock),
                   load_bytes(q + sizeof(Bytes), left * kBlock - kBytes), low[t], high[t]);
    }
    for (int g = 0; g < G; ++g) {
      W ws[kGroup];
      for (int i = 0; i < kGroup; ++i) {
        // Either way the same address; which is faster depends on how many registers there are.
        const uint8_t* q = kTune.row_pointers ? starts[g * kGroup + i] + at * W::kBlockBytes
                                              : w.q + W::offset(rows[g * kGroup + i], at, cols);
        ws[i] = W::load(q, left);
      }
      if (kTune.step_vecs == 1) load_scales(rows, b, n, g, g + 1, scale);  // behind the quants
      for (int t = 0; t < T; ++t) {
        const auto row_sum = [&](const W& row) {
          return W::dot_block(in[t].start[s], row.low, row.high, low[t], high[t]);
        };
        const VecI total =
            sum_quads(row_sum(ws[0]), row_sum(ws[1]), row_sum(ws[2]), row_sum(ws[3]));
        sums[g][t] = fma(to_float(total), scale[g][s] * in[t].d[s], sums[g][t]);
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
  rows.fetch_scales_ahead(i, kTile);
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
  constexpr int kTile = kTune.gemv_groups * kGroup;
  const GemvRows<W> rows{w, index, count, cols};
  const int64_t bytes = cols / kBlock * W::kBlockBytes;
  // Behind the last of a run of rows is what this thread will probably be given next.
  const int64_t onward = kTune.fetch_onward ? kLinesAhead * 64 : 0;
  Fetch<GemvRows<W>> fetch = index != nullptr
                                 ? Fetch<GemvRows<W>>{rows, 0, count, bytes}
                                 : Fetch<GemvRows<W>>{rows, 0, 1, count * bytes + onward, true};
  fetch.advance(kLinesAhead);
  rows.fetch_scales_ahead(-kScaleRowsAhead, kScaleRowsAhead);
  int64_t i = 0;
  for (; count - i > kTile - kGroup; i += kTile) {
    gemv_tile<W, kTune.gemv_groups>(rows, fetch, i, x, tokens, y, y_stride);
  }
  for (; i < count; i += kGroup) gemv_tile<W, 1>(rows, fetch, i, x, tokens, y, y_stride);
}

}  // namespace
}  // namespace st
