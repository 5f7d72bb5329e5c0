// y = W x for many tokens and weights in blocks of 32: the kernel that reads prompts.
//
// Tokens are the lanes. A tile holds kLanes tokens, kTileRun values of each side by side; weights
// are unpacked to bytes once for all tiles and multiplied as dot_tiles() does it: four at a time
// are broadcast, say, so a block of one row costs eight dot products and one multiply-add for
// kLanes tokens. The accumulators are those of block-gemv-inl.h: block b of a row goes to chain b %
// kChains. Chains are worked on one after the other, which keeps what a chain needs in the
// first-level cache.

#include "kernels/generic/blocks-inl.h"
#include "kernels/generic/tile-block-inl.h"

namespace st {
namespace {

constexpr int kRuns = kBlock / kTileRun;
constexpr int kGemmTileRows = 4;  // rows whose accumulators are in registers

// Block b of `blocks` comes this far in arrays that are ordered by chain.
ST_INLINE int64_t chain_length(int64_t blocks) { return (blocks + kChains - 1) / kChains; }
ST_INLINE int64_t chain_place(int64_t b, int64_t blocks) {
  return b % kChains * chain_length(blocks) + b / kChains;
}

void pack_tiles(const Q8Rows& x, const int32_t* index, int64_t tokens, int64_t cols,
                const Q8Tiles& out) {
  const int64_t blocks = cols / kBlock;
  const int64_t places = kChains * chain_length(blocks);
  for (int64_t t0 = 0; t0 < tokens; t0 += kLanes) {
    const int64_t tile = t0 / kLanes;
    for (int lane = 0; lane < kLanes; ++lane) {
      const bool used = t0 + lane < tokens;
      const int64_t t = !used ? 0 : index == nullptr ? t0 + lane : index[t0 + lane];
      for (int64_t b = 0; b < blocks; ++b) {
        const int64_t place = tile * places + chain_place(b, blocks);
        int8_t values[kRuns][kTileRun] = {};
        if (used) __builtin_memcpy(values, x.q + (t * blocks + b) * kBlock, kBlock);
        for (int i = 0; i < kRuns; ++i) {
          __builtin_memcpy(out.q + ((place * kRuns + i) * kLanes + lane) * kTileRun, values[i],
                           kTileRun);
        }
        out.d[place * kLanes + lane] = used ? x.d[t * blocks + b] : 0.0f;
        out.sum[place * kLanes + lane] = used ? x.sum[t * blocks + b] : 0;
        out.half_sum[place * kLanes + lane] = used ? x.half_sum[t * blocks + b] : 0;
      }
    }
  }
}

// Numbers of a block that are unpacked for its scale, and as many for its base: one; or those of
// its halves and what they are to be multiplied by.
template <typename W>
constexpr int kNumbers = W::kScales == 1 ? 1 : 3;
static_assert(kNumbers<TwoScales> == kUnpackedNumbers);

// Where the scales and bases of rows are that are unpacked together: (rows / 4, kNumbers, blocks,
// 4).
template <typename W>
ST_INLINE int64_t scales_place(int64_t r, int number, int64_t blocks) {
  return (r / 4 * kNumbers<W> + number) * blocks * 4 + r % 4;
}

// Part i of v goes to p + i * stride.
ST_INLINE void store_parts(Bytes v, uint8_t* p, int64_t stride) {
  uint8_t parts[kChains][16];
  __builtin_memcpy(parts, &v, sizeof v);
  for (int i = 0; i < kChains; ++i) __builtin_memcpy(p + i * stride, parts[i], 16);
}

template <typename W>
void unpack_scales(const QuantRows& w, int64_t rows, int64_t cols, const UnpackedRows& out) {
  const int64_t blocks = cols / kBlock, bytes = scale_bytes<W>(cols);
  for (int64_t r = 0; r < rows; r += 4) {
    FourScales four = {.row = {}, .blocks = blocks};
    for (int64_t k = 0; k < 4; ++k) {  // the last row once more where there is no other
      four.row[k] = w.scales + (r + k < rows ? r + k : rows - 1) * bytes;
    }
    for (int64_t b = 0; b < blocks; b += kStepBlocks) {
      const auto n = static_cast<int>(blocks - b < kStepBlocks ? blocks - b : kStepBlocks);
      StepScales<W> step;
      W::scales(four, b, n, step);
      for (int s = 0; s * kChains < n; ++s) {
        const int left = n - s * kChains < kChains ? n - s * kChains : kChains;
        const auto put = [&](float* to, int number, VecF v) {
          const int64_t at = (b + s * kChains) * 4;
          store(to + scales_place<W>(r, number, blocks) + at, v, left * 4);
        };
        if constexpr (W::kScales == 1) {
          put(out.scale, 0, step.scale[s]);
          if (W::kHasBase) put(out.base, 0, step.base[s]);
        } else {
          const auto put_all = [&](float* to, Bytes pairs, VecF d) {
            put(to, 0, to_float(first_words((VecI)pairs)));
            put(to, 1, to_float(second_words((VecI)pairs)));
            put(to, 2, d);
          };
          put_all(out.scale, step.scale[s], step.d);
          if (W::kHasBase) put_all(out.base, step.base[s], step.base_d);
        }
      }
    }
  }
}

// u: (chains, rows, chain length, 32) bytes.
template <typename W>
void unpack_block(const QuantRows& w, int64_t rows, int64_t cols, const UnpackedRows& out) {
  const int64_t blocks = cols / kBlock;
  const int64_t length = chain_length(blocks);
  for (int64_t r = 0; r < rows; ++r) {
    const uint8_t* q = w.q + r * quant_bytes<W>(cols);
    uint8_t* u = out.u + r * length * kBlock;
    for (int64_t b = 0; b < blocks; b += kChains, u += kBlock) {
      const auto place = static_cast<int>(b % kChunkBlocks);
      const int64_t chunk = b - place;
      const int64_t in_chunk = blocks - chunk < kChunkBlocks ? blocks - chunk : kChunkBlocks;
      const W codes = W::load(q + chunk * (kBlock * W::kBits / 8), place, int(in_chunk));
      store_parts(codes.low, u, rows * length * kBlock);
      store_parts(codes.high, u + kBlock / 2, rows * length * kBlock);
    }
  }
  unpack_scales<W>(w, rows, cols, out);
}

// Below W is an UnpackedOf a type.

// A block of V tiles.
template <typename W, int V>
struct TileInputs {
  static constexpr int kScales = W::kScales;
  TileBlock xs[V];
  VecF d[V];
  VecI sums[kScales][V];  // of blocks, or of their halves

  ST_INLINE TileInputs(const Q8Tiles& x, int64_t place, int64_t tile_places) {
    for (int v = 0; v < V; ++v) {
      const int64_t at = place + v * tile_places;
      xs[v] = TileBlock(x.q + at * kTileVecs * kBytes);
      d[v] = load(x.d + at * kLanes);
      sums[0][v] = load(x.sum + at * kLanes);
      if constexpr (kScales == 2) {
        const VecI first = load(x.half_sum + at * kLanes);
        sums[1][v] = sums[0][v] - first;
        sums[0][v] = first;
      }
    }
  }

  // Dots of a block of each row, or of its `part`.
  template <int R>
  ST_INLINE void dot(const uint8_t* const (&codes)[R], int part, VecI (&dots)[R][V]) const {
    for (int k = 0; k < R; ++k) {
      for (int v = 0; v < V; ++v) dots[k][v] = sums[part][v] * -W::kOffset;
    }
    if constexpr (kScales == 1) {
      W::template dot_tiles<0, kTileVecs>(codes, xs, dots);
    } else if (part == 0) {
      W::template dot_tiles<0, kTileVecs / 2>(codes, xs, dots);
    } else {
      W::template dot_tiles<kTileVecs / 2, kTileVecs>(codes, xs, dots);
    }
  }
};

// The numbers of a block of row k, those of the first row at p.
template <typename W>
struct RowNumbers {
  const float* of[kNumbers<W>];

  ST_INLINE RowNumbers(const float* p, int64_t r, int64_t at, int64_t blocks) {
    for (int k = 0; k < kNumbers<W>; ++k) of[k] = p + scales_place<W>(r, k, blocks) + at;
  }
  ST_INLINE VecF number(int k, int64_t at) const { return splat(of[k][at]); }
};

// Both halves' sums, each times its scale, times d; as block-gemv-inl.h has it, so that nothing but
// the product with d is rounded.
template <typename W>
ST_INLINE VecF add_halves(VecF first, VecI second, const RowNumbers<W>& numbers, int64_t at, VecF d,
                          VecF sum) {
  const VecF total = fma(to_float(second), numbers.number(1, at), first);
  return fma(total, numbers.number(2, at) * d, sum);
}

// A chain of R rows from row r on and V tiles: sums[r][v] over its `count` blocks.
template <typename W, int R, int V>
ST_INLINE void gemm_chain(const UnpackedRows& w, int64_t rows, int64_t r, int chain, int64_t blocks,
                          const Q8Tiles& x, int64_t tile, VecF (&sums)[R][V]) {
  const int64_t length = chain_length(blocks), tile_places = kChains * length;
  const int64_t count = (blocks - chain + kChains - 1) / kChains;
  const uint8_t* u = w.u + (chain * rows + r) * length * kBlock;
  const RowNumbers<W> scales(w.scale, r, 4 * chain, blocks), bases(w.base, r, 4 * chain, blocks);
  for (int i = 0; i < R; ++i) {
    for (int v = 0; v < V; ++v) sums[i][v] = VecF{};
  }
  int64_t place = tile * tile_places + chain * length;
  for (int64_t i = 0; i < count; ++i, ++place) {
    const TileInputs<W, V> in(x, place, tile_places);
    for (int r0 = 0; r0 < R; r0 += kDotRows) {
      constexpr int kRows = kDotRows < R ? kDotRows : R;
      const uint8_t* codes[kDotRows];
      for (int k = 0; k < kDotRows; ++k) {  // the last row once more where there is no other
        codes[k] = u + ((r0 + k < R ? r0 + k : r0) * length + i) * kBlock;
      }
      const int64_t at = i * kChains * 4 + r0;
      VecI dots[kDotRows][V];
      in.dot(codes, 0, dots);
      if constexpr (W::kScales == 1) {
        for (int k = 0; k < kRows; ++k) {
          for (int v = 0; v < V; ++v) {
            VecF& sum = sums[r0 + k][v];
            sum = W::add_scaled(dots[k][v], scales.number(0, at + k), in.d[v], sum);
            if constexpr (W::kHasBase) {
              sum = fma(bases.number(0, at + k), in.d[v] * to_float(in.sums[0][v]), sum);
            }
          }
        }
      } else {
        VecF first[kRows][V];
        for (int k = 0; k < kRows; ++k) {
          for (int v = 0; v < V; ++v) first[k][v] = to_float(dots[k][v]) * scales.number(0, at + k);
        }
        in.dot(codes, 1, dots);
        for (int k = 0; k < kRows; ++k) {
          for (int v = 0; v < V; ++v) {
            VecF& sum = sums[r0 + k][v];
            sum = add_halves(first[k][v], dots[k][v], scales, at + k, in.d[v], sum);
            if constexpr (W::kHasBase) {
              const VecF of_first = to_float(in.sums[0][v]) * bases.number(0, at + k);
              sum = add_halves(of_first, in.sums[1][v], bases, at + k, in.d[v], sum);
            }
          }
        }
      }
    }
  }
}

// All rows of `w` for V tiles from `tile` on; n tokens of them are stored.
template <typename W, int V>
void gemm_tiles(const UnpackedRows& w, int64_t rows, const Q8Tiles& x, int64_t tile, int64_t cols,
                int64_t n, float* y, int64_t y_stride) {
  const int64_t blocks = cols / kBlock;
  // Chains are added up as sum_chains() does: (0 + 1) + (2 + 3).
  VecF first[kUnpackedRows][V], second[kUnpackedRows][V];
  for (int chain = 0; chain < kChains; ++chain) {
    for (int64_t r = 0; r < rows; r += kGemmTileRows) {
      VecF sums[kGemmTileRows][V];
      if (rows - r >= kGemmTileRows) {
        gemm_chain<W>(w, rows, r, chain, blocks, x, tile, sums);
      } else {
        for (int64_t i = 0; i < rows - r; ++i) {
          VecF one[1][V];
          gemm_chain<W>(w, rows, r + i, chain, blocks, x, tile, one);
          for (int v = 0; v < V; ++v) sums[i][v] = one[0][v];
        }
      }
      for (int64_t i = 0; i < kGemmTileRows && r + i < rows; ++i) {
        for (int v = 0; v < V; ++v) {
          VecF& a = first[r + i][v];
          VecF& b = second[r + i][v];
          switch (chain) {
            case 0:
              a = sums[i][v];
              break;
            case 1:
              a = a + sums[i][v];
              break;
            case 2:
              b = sums[i][v];
              break;
            default:
              a = a + (b + sums[i][v]);
          }
        }
      }
    }
  }
  for (int v = 0; v < V; ++v) {
    const int64_t left = n - v * kLanes;
    store_transposed(&first[0][v], V, rows, left < kLanes ? left : kLanes,
                     y + v * kLanes * y_stride, y_stride);
  }
}

template <typename W>
void gemm_block(const UnpackedRows& w, int64_t rows, const Q8Tiles& x, int64_t tokens, int64_t cols,
                float* y, int64_t y_stride) {
  int64_t t = 0;
  for (; tokens - t > kLanes; t += 2 * kLanes) {
    gemm_tiles<W, 2>(w, rows, x, t / kLanes, cols, tokens - t, y + t * y_stride, y_stride);
  }
  if (t < tokens) {
    gemm_tiles<W, 1>(w, rows, x, t / kLanes, cols, tokens - t, y + t * y_stride, y_stride);
  }
}

}  // namespace
}  // namespace st
