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

// u: (chains, rows, chain length, 32) bytes, d: (rows, blocks).
template <typename W>
void unpack_block(const QuantRows& w, int64_t rows, int64_t cols, const UnpackedRows& out) {
  const int64_t blocks = cols / kBlock;
  const int64_t length = chain_length(blocks);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t chain = 0; chain < kChains; ++chain) {
      const uint8_t* q = w.q + W::offset(r, chain, cols);
      const int64_t place = (chain * rows + r) * length;
      uint8_t* u = out.u + place * kBlock;
      for (int64_t b = chain; b < blocks; b += kChains) {
        W::unpack(q, u);
        q += kChains * W::kBlockBytes;
        u += kBlock;
      }
    }
    for (int64_t b = 0; b < blocks; b += kLanes) {
      const int64_t n = blocks - b < kLanes ? blocks - b : kLanes;
      store(out.d + r * blocks + b, F16::load(halves(w.scales) + r * blocks + b, n), n);
    }
  }
}

// One chain of R rows and V tiles: sums[r][v] over its `count` blocks. wd: of the first of them,
// row stride d_stride.
template <typename W, int R, int V>
ST_INLINE void gemm_chain(const uint8_t* u, const float* wd, int64_t d_stride, int64_t length,
                          int64_t count, const Q8Tiles& x, int64_t place, int64_t tile_places,
                          VecF (&sums)[R][V]) {
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) sums[r][v] = VecF{};
  }
  for (int64_t i = 0; i < count; ++i, ++place) {
    TileBlock xs[V];
    VecF d[V];
    VecI start[V];
    for (int v = 0; v < V; ++v) {
      const int64_t at = place + v * tile_places;
      xs[v] = TileBlock(x.q + at * kTileVecs * kBytes);
      d[v] = load(x.d + at * kLanes);
      start[v] = load(x.sum + at * kLanes) * -W::kOffset;
    }
    for (int r0 = 0; r0 < R; r0 += kDotRows) {
      const uint8_t* rows[kDotRows];
      VecI dots[kDotRows][V];
      for (int k = 0; k < kDotRows; ++k) {  // the last row once more where there is no other
        const int r = r0 + k < R ? r0 + k : r0;
        rows[k] = u + (r * length + i) * kBlock;
        for (int v = 0; v < V; ++v) dots[k][v] = start[v];
      }
      W::dot_tiles(rows, xs, dots);
      for (int k = 0; k < kDotRows && r0 + k < R; ++k) {
        const VecF scale = splat(wd[(r0 + k) * d_stride + i * kChains]);
        for (int v = 0; v < V; ++v) {
          sums[r0 + k][v] = fma(to_float(dots[k][v]), scale * d[v], sums[r0 + k][v]);
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
  const int64_t length = chain_length(blocks);
  const int64_t tile_places = kChains * length;
  // Chains are added up as sum_chains() does: (0 + 1) + (2 + 3).
  VecF first[kUnpackedRows][V], second[kUnpackedRows][V];
  for (int chain = 0; chain < kChains; ++chain) {
    const int64_t count = (blocks - chain + kChains - 1) / kChains;
    const int64_t place = tile * tile_places + chain * length;
    for (int64_t r = 0; r < rows; r += kGemmTileRows) {
      const int64_t at = (chain * rows + r) * length;
      VecF sums[kGemmTileRows][V];
      if (rows - r >= kGemmTileRows) {
        gemm_chain<W, kGemmTileRows, V>(w.u + at * kBlock, w.d + r * blocks + chain, blocks, length,
                                        count, x, place, tile_places, sums);
      } else {
        for (int64_t i = 0; i < rows - r; ++i) {
          VecF one[1][V];
          gemm_chain<W, 1, V>(w.u + (at + i * length) * kBlock, w.d + (r + i) * blocks + chain,
                              blocks, length, count, x, place, tile_places, one);
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
