// y = W x for few tokens and weights in blocks of 32: the kernel that writes text.
//
// One vector takes kChains blocks of four rows. A row's piece is one vector of quants (two for
// Q8_0); the integer products of a block end up in the four lanes of one 128-bit part, sum_quads()
// adds them up for four rows at once, and one multiply-add scales 4 * kChains block sums. Where
// halves of blocks have scales of their own, these are multiplied in before, as integers. A step is
// kTune.step_vecs vectors, whose scales are loaded together. So every row has kChains float
// accumulators, block b going to number b % kChains; block-gemm-inl.h keeps the same ones, which
// makes the bits equal whatever the number of tokens.
//
// All rows meet the same activations, so these are prepared once per call, as the vectors that the
// inner loop takes, and read from the first-level cache: registers are for the rows.

#include "kernels/generic/fetch-inl.h"
#include "kernels/generic/plane-blocks-inl.h"

namespace st {
namespace {

constexpr int kGroup = 4;         // rows whose block sums share a vector
constexpr int kLinesAhead = 128;  // how far memory runs ahead of arithmetic
constexpr int kScaleRowsAhead = 16;
constexpr int kPairRows = 64;  // rows that meet one pair of tokens, then the next

// kChains blocks of a token.
struct InputBytes {
  Bytes low, high;  // values 0..15 and 16..31 of each block
  VecF d;
};
template <typename W, int kScales = W::kScales>
struct InputVec : InputBytes {
  VecI start;  // -kOffset * sum / 4 in each lane, for weights stored with an offset
  VecF sum;    // d * sum, for weights with a base
};
// The same of halves; as words: sums for bases, or -kOffset times as much.
template <typename W>
struct InputVec<W, 2> : InputBytes {
  VecI start[2];
  Bytes sums;
};

// Blocks [first, first + count) of a token, zero beyond up to a whole step.
template <typename W>
struct Input {
  static constexpr int64_t kBlocks = 512;
  InputVec<W> vecs[kBlocks / kChains];

  [[gnu::noinline]] void prepare(const Q8Rows& x, int64_t first, int64_t count) {
    int64_t b = 0;
    for (; b + kStepBlocks <= count; b += kStepBlocks) step(x, first + b, kStepBlocks, b / kChains);
    if (b < count) step(x, first + b, static_cast<int>(count - b), b / kChains);
  }

  // Blocks [b, b + n) go to vectors from `vec` on.
  ST_INLINE void step(const Q8Rows& x, int64_t b, int n, int64_t vec) {
    VecI negative[kTune.step_vecs], first[kTune.step_vecs];  // sums of blocks and of first halves
    VecF d[kTune.step_vecs];
    spread_negative(x.sum + b, n, 1, negative);
    if (W::kScales == 2) spread_negative(x.half_sum + b, n, 1, first);
    spread(x.d + b, n, d);
    for (int s = 0; s < kTune.step_vecs; ++s) {
      const int8_t* q = x.q + (b + s * kChains) * kBlock;
      const int bytes = (n - s * kChains) * kBlock;
      InputVec<W>& to = vecs[vec + s];
      split_halves(load_bytes(q, bytes), load_bytes(q + kBytes, bytes - kBytes), to.low, to.high);
      to.d = d[s];
      if constexpr (W::kScales == 1) {
        to.start = negative[s] * (W::kOffset / 4);
        to.sum = d[s] * to_float(-negative[s]);
      } else {
        const VecI second = negative[s] - first[s];
        constexpr int32_t kFactor = W::kHasBase ? -1 : W::kOffset;
        to.start[0] = first[s] * (W::kOffset / 4);
        to.start[1] = second * (W::kOffset / 4);
        if (W::kHasBase || W::kWordHalves) {
          to.sums = (Bytes)((first[s] * kFactor & 0xFFFF) | second * kFactor << 16);
        }
      }
    }
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
  [[gnu::noinline, gnu::cold]] const uint8_t* start_fetching(int64_t i) const {
    if (index != nullptr) fetch_scales(row(i), 1);
    return w.q + row(i) * quant_bytes<W>(cols);
  }
  // Where all rows are one run of memory, their scales are another.
  ST_INLINE void fetch_scales_ahead(int64_t i, int64_t n) const {
    if (kTune.fetch_onward && index == nullptr) fetch_scales(i + kScaleRowsAhead, n);
  }
  ST_INLINE void fetch_scales(int64_t r, int64_t n) const {
    const int64_t bytes = scale_bytes<W>(cols);
    for (int64_t i = 0; i < n * bytes; i += 64) fetch_line(w.scales + r * bytes + i);
  }
};

// Where the rows of a tile begin.
template <int G>
struct TileRows {
  const uint8_t* starts[G * kGroup];
  FourScales scales[G];
};

// The last n < kStepBlocks blocks of a tile as a whole step, with zeros beyond.
template <typename W, int G>
struct PaddedStep {
  static constexpr int kStepBytes = kStepBlocks * kBlock * W::kBits / 8;
  static constexpr int kNumberBytes = W::kScaleBytes / 8 / W::kBlockArrays;
  uint8_t quants[G * kGroup][kStepBytes];
  uint8_t scales[G * kGroup][W::kBlockArrays][kStepBlocks * kNumberBytes];

  PaddedStep(const TileRows<G>& rows, int64_t n) : quants{}, scales{} {
    for (int k = 0; k < G * kGroup; ++k) {
      const FourScales& four = rows.scales[k / kGroup];
      const int64_t b = four.blocks - n;
      copy_codes<W>(rows.starts[k] + b * (kBlock * W::kBits / 8), static_cast<int>(n), quants[k]);
      for (int a = 0; a < W::kBlockArrays; ++a) {
        __builtin_memcpy(scales[k][a], four.row[k % kGroup] + (a * four.blocks + b) * kNumberBytes,
                         static_cast<size_t>(n * kNumberBytes));
      }
    }
  }
};

// Of groups and tokens.
template <int G, int T>
struct Sums {
  VecF of[G][T];
};

// Rows of a tile and T tokens. W: how a block type is read, see blocks-inl.h.
template <typename W, int G, int T>
struct BlockTile {
  static constexpr int kRows = G * kGroup;
  // Either way the same addresses; which is faster depends on how many registers there are.
  const uint8_t* q;
  int64_t row_bytes;
  int64_t row[kRows];
  TileRows<G> rows;
  Sums<G, T> sums = {};

  ST_INLINE BlockTile(const GemvRows<W>& of, int64_t i)
      : q(of.w.q), row_bytes(quant_bytes<W>(of.cols)) {
    for (int k = 0; k < kRows; ++k) {
      row[k] = of.row(i + k);
      rows.starts[k] = q + row[k] * row_bytes;
      FourScales& four = rows.scales[k / kGroup];
      four.row[k % kGroup] = of.w.scales + row[k] * scale_bytes<W>(of.cols);
      four.blocks = of.cols / kBlock;
    }
  }

  // Blocks [first, first + count), whose activations are in.
  ST_INLINE void add(const Input<W>* in, int64_t first, int64_t count, Fetch<GemvRows<W>>& fetch) {
    int64_t b = 0;
    for (; b + kStepBlocks <= count; b += kStepBlocks) step(in, b / kChains, first + b, fetch);
    if constexpr (W::kBlockArrays > 0) {
      if (b < count) sums = with_rest(*this, in, b / kChains, count - b);
    }
  }

  // The sums of a tile with its last n blocks.
  [[gnu::noinline]] static Sums<G, T> with_rest(BlockTile tile, const Input<W>* in, int64_t vec,
                                                int64_t n) {
    const PaddedStep<W, G> last(tile.rows, n);
    tile.use(last);
    StepScales<W> scale[G];
    if (kTune.step_vecs > 1) tile.load_scales(0, 0, G, scale);
    for (int s = 0; s * kChains < n; ++s) tile.step_vector(in, 0, s, vec + s, scale);
    return tile.sums;
  }

  ST_INLINE void use(const PaddedStep<W, G>& last) {
    q = last.quants[0];
    row_bytes = last.kStepBytes;
    for (int k = 0; k < kRows; ++k) {
      row[k] = k;
      rows.starts[k] = last.quants[k];
      FourScales& four = rows.scales[k / kGroup];
      four.row[k % kGroup] = last.scales[k][0];
      four.blocks = kStepBlocks;
    }
  }

  // Blocks from b on, and activations from vector `vec` on.
  ST_INLINE void step(const Input<W>* in, int64_t vec, int64_t b, Fetch<GemvRows<W>>& fetch) {
    // Vectors for which memory is asked at a time, and lines of them, rounded up.
    constexpr int kFetchVecs = kTune.fetch_evenly && W::kBits >= 4 ? 1 : kTune.step_vecs;
    constexpr int kLines = (kFetchVecs * kRows * kChains * kBlock * W::kBits / 8 + 63) / 64;
    if (kFetchVecs > 1) fetch.advance(kLines);
    StepScales<W> scale[G];
    if (kTune.step_vecs > 1) load_scales(b, 0, G, scale);
    constexpr bool kPlanes = W::kBits != 4 && W::kBits != 8;
    constexpr int kTogether = kTune.unroll_steps || (kPlanes && T == 1) ? kTune.step_vecs : 1;
    for (int begin = 0; begin < kTune.step_vecs; begin += kTogether) {
#pragma GCC unroll 4
      for (int s = begin; s < begin + kTogether; ++s) {
        if (kFetchVecs == 1) fetch.advance(kLines);
        step_vector(in, b, s, vec + s, scale);
        if (kTogether > 1) keep_order();
      }
    }
  }

  // Of groups [begin, end).
  ST_INLINE void load_scales(int64_t b, int begin, int end, StepScales<W> (&scale)[G]) const {
    for (int g = begin; g < end; ++g) W::scales(rows.scales[g], b, kStepBlocks, scale[g]);
  }

  // Vector s of a step from block b on; `vec` of the activations.
  ST_INLINE void step_vector(const Input<W>* in, int64_t b, int s, int64_t vec,
                             StepScales<W> (&scale)[G]) {
    const int before = s * kChains / kChunkBlocks * kChunkBlocks;  // in earlier chunks
    const int place = s * kChains - before;
    const int64_t at = (b + before) * (kBlock * W::kBits / 8);
    for (int g = 0; g < G; ++g) {
      W ws[kGroup];
      for (int i = 0; i < kGroup; ++i) {
        const int k = g * kGroup + i;
        ws[i] = W::load(kTune.row_pointers ? rows.starts[k] + at : q + (row[k] * row_bytes + at),
                        place, kChunkBlocks);
      }
      if (kTune.step_vecs == 1) load_scales(b, g, g + 1, scale);  // behind the quants
      for (int t = 0; t < T; ++t) {
        add_blocks(ws, in[t].vecs[vec], scale[g], s, sums.of[g][t]);
      }
    }
  }

  // kChains blocks of four rows.
  ST_INLINE static void add_blocks(const W (&ws)[kGroup], const InputVec<W>& x,
                                   const StepScales<W>& scales, int s, VecF& sum) {
    if constexpr (W::kScales == 1) {
      const auto dots = [&](const W& w) {
        return W::dot_block(x.start, w.low, w.high, x.low, x.high);
      };
      const VecI total = sum_quads(dots(ws[0]), dots(ws[1]), dots(ws[2]), dots(ws[3]));
      sum = W::add_scaled(total, scales.scale[s], x.d, sum);
      if constexpr (W::kHasBase) sum = fma(scales.base[s], x.sum, sum);
    } else {
      sum = fma(to_float(weigh_halves(ws, x, scales.scale[s])), scales.d * x.d, sum);
      if constexpr (W::kHasBase) {
        const VecI bases = dot2(VecI{}, x.sums, scales.base[s]);
        sum = fma(to_float(bases), scales.base_d * x.d, sum);
      }
    }
  }

  // The sums of both halves, each times its scale: below 2^24, so exact as a float.
  ST_INLINE static VecI weigh_halves(const W (&ws)[kGroup], const InputVec<W>& x, Bytes scales) {
    if constexpr (W::kWordHalves) {
      const Bytes start = W::kOffset == 0 ? Bytes{} : x.sums;
      return dot2(VecI{}, W::sum_halves(start, ws, x.low, x.high), scales);
    } else {
      const auto low = [&](const W& w) { return W::dot_half(x.start[0], w.low, x.low); };
      const auto high = [&](const W& w) { return W::dot_half(x.start[1], w.high, x.high); };
      const VecI first = sum_quads(low(ws[0]), low(ws[1]), low(ws[2]), low(ws[3]));
      const VecI second = sum_quads(high(ws[0]), high(ws[1]), high(ws[2]), high(ws[3]));
      return first * first_words((VecI)scales) + second * second_words((VecI)scales);
    }
  }

  // y: of the first row of the tile, of which there are `count`.
  ST_INLINE void store(float* y, int64_t y_stride, int64_t count) const {
    for (int t = 0; t < T; ++t) {
      for (int g = 0; g < G; ++g) {
        store_rows(y + t * y_stride + g * kGroup, sum_chains(sums.of[g][t]),
                   static_cast<int>(count - g * kGroup));
      }
    }
  }
};

// Tokens [t, t + T).
template <typename W, int T>
struct GemvPart {
  const GemvRows<W>& rows;
  const Q8Rows& x;
  int64_t t;
  Input<W>* in;  // (T)
  float* y;
  int64_t y_stride;
  int64_t prepared = -1;  // first block of `in`

  // Rows [begin, end) of the call. Returns what is still to be fetched.
  [[gnu::noinline]] Fetch<GemvRows<W>> run(int64_t begin, int64_t end, Fetch<GemvRows<W>> fetch) {
    constexpr int kTile = kTune.gemv_groups * kGroup;
    constexpr bool kRest = kTile > kGroup && T == 1;  // is multiplied by itself
    int64_t i = begin;
    for (; end - i > (kRest ? kTile - kGroup : 0); i += kTile) {
      tile<kTune.gemv_groups>(i, end, fetch);
    }
    if constexpr (kRest) {
      for (; i < end; i += kGroup) tile<1>(i, end, fetch);
    }
    return fetch;
  }

  template <int G>
  ST_INLINE void tile(int64_t i, int64_t end, Fetch<GemvRows<W>>& fetch) {
    const int64_t blocks = rows.cols / kBlock;
    if (t == 0) rows.fetch_scales_ahead(i, G * kGroup);
    BlockTile<W, G, T> tile(rows, i);
    for (int64_t first = 0; first < blocks; first += Input<W>::kBlocks) {
      const int64_t left = blocks - first;
      const int64_t count = left < Input<W>::kBlocks ? left : Input<W>::kBlocks;
      if (prepared != first) prepare(first, count);
      tile.add(in, first, count, fetch);
    }
    tile.store(y + t * y_stride + i, y_stride, end - i);
  }

  void prepare(int64_t first, int64_t count) {
    prepared = first;
    for (int k = 0; k < T; ++k) in[k].prepare(x.rows_from(t + k, rows.cols), first, count);
  }
};

template <typename W>
void gemv_block(const QuantRows& w, const int32_t* index, int64_t count, const Q8Rows& x,
                int64_t tokens, int64_t cols, float* y, int64_t y_stride) {
  const GemvRows<W> rows{w, index, count, cols};
  const int64_t bytes = quant_bytes<W>(cols);
  // Behind the last of a run of rows is what this thread will probably be given next.
  const int64_t onward = kTune.fetch_onward ? kLinesAhead * 64 : 0;
  Fetch<GemvRows<W>> fetch = index != nullptr
                                 ? Fetch<GemvRows<W>>{&rows, 0, count, bytes}
                                 : Fetch<GemvRows<W>>{&rows, 0, 1, count * bytes + onward, true};
  const Fetch<GemvRows<W>> nothing = {&rows, 0, 0, 0};
  Input<W> in[2];
  fetch.advance(kLinesAhead);
  rows.fetch_scales_ahead(-kScaleRowsAhead, kScaleRowsAhead);
  const int64_t part = tokens == 1 ? count : kPairRows;
  for (int64_t begin = 0; begin < count; begin += part) {
    const int64_t end = count - begin < part ? count : begin + part;
    int64_t t = 0;
    for (; t + 2 <= tokens; t += 2) {
      GemvPart<W, 2> two = {rows, x, t, in, y, y_stride};
      if (t == 0) {
        fetch = two.run(begin, end, fetch);
      } else {
        two.run(begin, end, nothing);  // these rows have been read before
      }
    }
    if (t < tokens) {
      GemvPart<W, 1> one = {rows, x, t, in, y, y_stride};
      one.run(begin, end, t == 0 ? fetch : nothing);
    }
  }
}

}  // namespace
}  // namespace st
