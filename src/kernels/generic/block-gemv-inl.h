// y = W x for few tokens and weights in blocks of 32: the kernel that writes text.
//
// One vector takes kChains blocks of four rows. A row's piece is one vector of quants (two for
// Q8_0); the integer products of a block end up in the four lanes of one 128-bit part, sum_quads()
// adds them up for four rows at once, and one multiply-add scales 4 * kChains block sums. A step is
// kStepVecs vectors, whose scales are loaded together. So every row
// has kChains float accumulators, block b going to number b % kChains; block-gemm-inl.h keeps the
// same ones, which makes the bits equal whatever the number of tokens.

#include "kernels/generic/blocks-inl.h"

namespace st {
namespace {

constexpr int kGroup = 4;  // rows whose block sums share a vector
constexpr int kStepBlocks = kStepVecs * kChains;

// The activations of one step, n <= kStepBlocks blocks from block i on.
struct StepInput {
  VecI start[kStepVecs];  // -kOffset * sum / 4 in each lane, for weights stored with an offset
  VecF d[kStepVecs];

  template <typename W>
  ST_INLINE static StepInput load(const Q8Rows& x, int64_t i, int n) {
    StepInput in;
    spread_negative(x.sum + i, n, W::kOffset / 4, in.start);
    spread(x.d + i, n, in.d);
    return in;
  }
};

// Asks for the rows of the next tile, a share at every step, one row after the other: hardware
// prefetchers see through an ascending order, not through rows side by side.
template <typename W>
struct Ahead {
  const int64_t* row;  // the next one to begin
  const int64_t* end;
  const uint8_t* line = nullptr;
  int64_t left = 0;  // bytes of the current row

  ST_INLINE void advance(const QuantRows& w, int64_t cols, int lines) {
    if (!begin(w, cols)) return;
    if (left >= lines * 64) {  // the usual case, without branches
      for (int i = 0; i < lines; ++i) __builtin_prefetch(line + i * 64);
      line += lines * 64;
      left -= lines * 64;
      return;
    }
    for (; lines > 0 && begin(w, cols); --lines) {
      __builtin_prefetch(line);
      line += 64;
      left -= 64;
    }
  }

  // False when there is nothing left.
  ST_INLINE bool begin(const QuantRows& w, int64_t cols) {
    if (left > 0) return true;
    if (row == end) return false;
    line = w.q + W::offset(*row++, 0, cols);
    left = cols / kBlock * W::kBlockBytes;
    return true;
  }
};

// W: how a block type is read, see blocks-inl.h.
template <typename W, int G, int T>
struct BlockTile {
  const QuantRows& w;
  const Q8Rows& x;
  int64_t cols;

  // rows: the G * kGroup rows of this tile; next: those to fetch meanwhile.
  ST_INLINE void run(const int64_t* rows, const int64_t* next, int64_t t0, float* y,
                     int64_t y_stride, int count) const {
    const int64_t blocks = cols / kBlock;
    const uint8_t* starts[G * kGroup];
    for (int i = 0; i < G * kGroup; ++i) starts[i] = w.q + W::offset(rows[i], 0, cols);
    VecF sums[G][T] = {};
    Ahead<W> ahead{next, next + G * kGroup};
    int64_t b = 0;
    for (; b + kStepBlocks <= blocks; b += kStepBlocks) {
      step(rows, starts, ahead, t0, b, kStepBlocks, sums);
    }
    if (b < blocks) step(rows, starts, ahead, t0, b, static_cast<int>(blocks - b), sums);
    for (int t = 0; t < T; ++t) {
      for (int g = 0; g < G; ++g) {
        store_rows(y + (t0 + t) * y_stride + g * kGroup, sum_chains(sums[g][t]),
                   count - g * kGroup);
      }
    }
  }

  // n <= kStepBlocks blocks from block b on of rows that begin at q and d.
  ST_INLINE void step(const int64_t* rows, const uint8_t* const* starts, Ahead<W>& ahead,
                      int64_t t0, int64_t b, int n, VecF (&sums)[G][T]) const {
    const int64_t blocks = cols / kBlock;
    if (t0 == 0) ahead.advance(w, cols, G * W::kSumVecs * kGroup * kStepVecs * kBytes / 64);
    StepInput in[T];
    for (int t = 0; t < T; ++t) {
      in[t] = StepInput::template load<W>(x, (t0 + t) * blocks + b, n);
    }
    VecF scale[G][kStepVecs];
    for (int g = 0; g < G; ++g) {
      const int64_t* r = rows + g * kGroup;
      const uint16_t* d = w.d + b;
      scales(d + r[0] * blocks, d + r[1] * blocks, d + r[2] * blocks, d + r[3] * blocks, n,
             scale[g]);
    }
    for (int s = 0; s < kStepVecs && s * kChains < n; ++s) {
      const int left = kStepVecs == 1 ? n : kChains;
      step_vector(rows, starts, t0, b + s * kChains, left, s, in, scale, sums);
    }
  }

  // Vector s of a step: n blocks from b on.
  ST_INLINE void step_vector(const int64_t* rows, const uint8_t* const* starts, int64_t t0,
                             int64_t b, int n, int s, const StepInput (&in)[T],
                             const VecF (&scale)[G][kStepVecs], VecF (&sums)[G][T]) const {
    Bytes low[T], high[T];  // values 0..15 and 16..31 of each block
    for (int t = 0; t < T; ++t) {
      const int8_t* xs = x.q + (t0 + t) * cols + b * kBlock;
      split_halves(load_bytes(xs, n * kBlock), load_bytes(xs + sizeof(Bytes), n * kBlock - kBytes),
                   low[t], high[t]);
    }
    for (int g = 0; g < G; ++g) {
      W ws[kGroup];
      for (int i = 0; i < kGroup; ++i) {
        const int row = g * kGroup + i;
        // Either way the same address; which is faster depends on how many registers there are.
        const uint8_t* q =
            kRowPointers ? starts[row] + b * W::kBlockBytes : w.q + W::offset(rows[row], b, cols);
        ws[i] = W::load(q, n);
      }
      for (int t = 0; t < T; ++t) {
        VecI quads[kGroup];
        for (int i = 0; i < kGroup; ++i) {
          quads[i] = W::dot_block(in[t].start[s], ws[i].low, ws[i].high, low[t], high[t]);
        }
        const VecI total = sum_quads(quads[0], quads[1], quads[2], quads[3]);
        sums[g][t] = fma(to_float(total), scale[g][s] * in[t].d[s], sums[g][t]);
      }
    }
  }
};

template <typename W, int G>
void gemv_rows(const QuantRows& w, const int64_t (&now)[G * kGroup],
               const int64_t (&next)[G * kGroup], int count, const Q8Rows& x, int64_t tokens,
               int64_t cols, float* y, int64_t y_stride) {
  int64_t t = 0;
  for (; t + 2 <= tokens; t += 2) {
    BlockTile<W, G, 2>{w, x, cols}.run(now, next, t, y, y_stride, count);
  }
  if (t < tokens) BlockTile<W, G, 1>{w, x, cols}.run(now, next, t, y, y_stride, count);
}

// Rows i .. i + G * kGroup of the call, the last one again past the end.
template <typename W, int G>
void gemv_tile(const QuantRows& w, const int32_t* index, int64_t i, int64_t rows, const Q8Rows& x,
               int64_t tokens, int64_t cols, float* y, int64_t y_stride) {
  constexpr int kTile = G * kGroup;
  const auto row = [&](int64_t at) {
    const int64_t clamped = at < rows ? at : rows - 1;
    return index == nullptr ? clamped : int64_t{index[clamped]};
  };
  int64_t now[kTile], next[kTile];
  for (int k = 0; k < kTile; ++k) {
    now[k] = row(i + k);
    next[k] = row(i + kTile + k);
  }
  const int count = rows - i < kTile ? static_cast<int>(rows - i) : kTile;
  gemv_rows<W, G>(w, now, next, count, x, tokens, cols, y + i, y_stride);
}

template <typename W>
void gemv_block(const QuantRows& w, const int32_t* index, int64_t rows, const Q8Rows& x,
                int64_t tokens, int64_t cols, float* y, int64_t y_stride) {
  constexpr int kTile = kGemvGroups * kGroup;
  int64_t i = 0;
  for (; rows - i > kTile - kGroup; i += kTile) {
    gemv_tile<W, kGemvGroups>(w, index, i, rows, x, tokens, cols, y, y_stride);
  }
  for (; i < rows; i += kGroup) {
    gemv_tile<W, 1>(w, index, i, rows, x, tokens, cols, y, y_stride);
  }
}

}  // namespace
}  // namespace st
