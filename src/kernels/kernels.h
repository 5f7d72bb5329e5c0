// The hot arithmetic, one table of functions per instruction set.
//
// A table is picked once, when an engine is made, and passed down as `const KernelTable&`. Kernels
// are pure: no allocation, no globals, no exceptions. Each output is accumulated in an order that
// depends on nothing but `cols` (or `n`), so results do not change with the number of rows, tokens
// or threads a call is split into. Different tables may differ in the last bits.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tensor/kv_tile.h"
#include "tensor/layout.h"
#include "tensor/matrix.h"

namespace st {

// Activation rows quantised for integer dot products, blocks of 32 values along a row:
// x[t][c] ~= d[t][c / 32] * q[t][c], |q| <= 127.
struct Q8Rows {
  const int8_t* q;     // (tokens, cols)
  const float* d;      // (tokens, cols / 32)
  const int32_t* sum;  // (tokens, cols / 32): sum of q over the block, for weights with an offset
};

// Quantised activations in the order a table's GEMM wants, tiles of `tile_tokens` tokens. Unused
// tokens of the last tile are zero. padded cols: the next multiple of 128.
struct Q8Tiles {
  int8_t* q;     // (tiles, padded cols, tile_tokens)
  float* d;      // (tiles, padded cols / 32, tile_tokens)
  int32_t* sum;  // (tiles, padded cols / 32, tile_tokens)
};

// Weight rows as bytes, in the order a table's GEMM wants.
struct UnpackedRows {
  uint8_t* u;  // (rows, padded cols)
  float* d;    // (rows, cols / 32)
};

inline constexpr int64_t kUnpackedRows = 32;  // most rows that may be unpacked together

// Queries of consecutive tokens of one sequence against the keys and values of one head. A token
// sees its own position and those before, `window` in all.
struct AttentionBlock {
  KvTile tile;
  KvTiles tiles;     // all that some token sees
  int64_t position;  // of the first token; its own key and value are in the cache already
  int64_t tokens;
  int64_t window;  // INT64_MAX: all positions
  int64_t group;   // queries per token
  const float* q;  // (tokens, stride): (group, d) of each
  float* out;      // (tokens, stride): (group, d) of each
  int64_t stride;
};

// Floats of scratch for a block of so many queries, tokens * group.
constexpr int64_t attention_scratch(int64_t queries, int64_t head_dim) {
  return queries * ((head_dim + 15) / 16 * 32 + kTileKeys + 32);
}

constexpr int64_t kMaxTileTokens = 16;  // of any table

struct KernelTable {
  std::string_view name;  // "avx2"
  uint64_t needs;         // CpuFeature bits
  int64_t tile_tokens;    // tokens of a Q8Tiles tile; 0: this table has no GEMM, only GEMV

  // y[t * y_stride + r] = sum_c w[r][c] * x[t][c] for r < rows, t < tokens.
  // w: (rows, cols) row-major. x: (tokens, cols) row-major.
  void (*gemm_f32)(const float* w, int64_t rows, const float* x, int64_t tokens, int64_t cols,
                   float* y, int64_t y_stride);
  void (*gemm_f16)(const uint16_t* w, int64_t rows, const float* x, int64_t tokens, int64_t cols,
                   float* y, int64_t y_stride);
  void (*gemm_bf16)(const uint16_t* w, int64_t rows, const float* x, int64_t tokens, int64_t cols,
                    float* y, int64_t y_stride);

  // The same for few tokens and rows index[0..rows) of w, or the first ones if index is null.
  // REQUIRES (for all below): cols is a multiple of 32.
  void (*gemv_q8_0)(const QuantRows& w, const int32_t* index, int64_t rows, const Q8Rows& x,
                    int64_t tokens, int64_t cols, float* y, int64_t y_stride);
  void (*gemv_q4_0)(const QuantRows& w, const int32_t* index, int64_t rows, const Q8Rows& x,
                    int64_t tokens, int64_t cols, float* y, int64_t y_stride);

  // The same for many tokens, bit for bit, in three steps: tiles are packed once per input, rows
  // unpacked once per micro-batch, then multiplied. pack takes rows index[0..tokens) of x.
  void (*pack_tiles)(const Q8Rows& x, const int32_t* index, int64_t tokens, int64_t cols,
                     const Q8Tiles& tiles);
  void (*unpack_q8_0)(const QuantRows& w, int64_t rows, int64_t cols, const UnpackedRows& out);
  void (*unpack_q4_0)(const QuantRows& w, int64_t rows, int64_t cols, const UnpackedRows& out);
  void (*gemm_q8_0)(const UnpackedRows& w, int64_t rows, const Q8Tiles& x, int64_t tokens,
                    int64_t cols, float* y, int64_t y_stride);
  void (*gemm_q4_0)(const UnpackedRows& w, int64_t rows, const Q8Tiles& x, int64_t tokens,
                    int64_t cols, float* y, int64_t y_stride);

  // y[c] = sum_i h[i] * W[index[i]][c] for begin <= c < end and i < count: what the active neurons
  // of an expert add to its output. The products of h with the scales of a column block are rounded
  // to 14 bits and a sign of the largest among them, 512 neurons at a time; the rest is exact.
  // cached: most of these rows have just been used, so nothing is fetched ahead of its use.
  // REQUIRES: begin is a multiple of 128, end too or it is cols.
  void (*sum_rows_q8_0)(const QuantRows& w, const int32_t* index, const float* h, int64_t count,
                        int64_t cols, int64_t begin, int64_t end, bool cached, float* y);
  void (*sum_rows_q4_0)(const QuantRows& w, const int32_t* index, const float* h, int64_t count,
                        int64_t cols, int64_t begin, int64_t end, bool cached, float* y);

  // The same for a down matrix regrouped by neuron, and h quantised: what the full matrix product
  // gives, with blocks of 32 neurons added in order. index: the neurons whose q is not 0,
  // ascending; q: (F), d: (F / 32).
  void (*sum_columns_q8_0)(const NeuronRows& w, const int32_t* index, int64_t count,
                           const int8_t* q, const float* d, int64_t cols, int64_t begin,
                           int64_t end, bool cached, float* y);
  void (*sum_columns_q4_0)(const NeuronRows& w, const int32_t* index, int64_t count,
                           const int8_t* q, const float* d, int64_t cols, int64_t begin,
                           int64_t end, bool cached, float* y);

  // index[0..returned): the i < n with x[i] != 0 (a NaN is), ascending, plus `first`; values: their
  // x. Room for n of each, and 16 beyond.
  int64_t (*find_nonzero)(const float* x, int64_t n, int32_t first, int32_t* index, float* values);

  // x[i] = max(x[i], 0) for i < n, but a NaN stays one. Returns how many are not 0 then.
  int64_t (*relu)(float* x, int64_t n);

  // h[i] *= up[i] for i < n where h[i] is not 0; 0 stays 0 whatever up is.
  void (*multiply_active)(float* h, const float* up, int64_t n);

  // y[i] += a * w[i] for i < n.
  void (*axpy_f32)(float a, const float* w, int64_t n, float* y);
  void (*axpy_f16)(float a, const uint16_t* w, int64_t n, float* y);
  void (*axpy_bf16)(float a, const uint16_t* w, int64_t n, float* y);

  // Quantises one row: per block of 32, d = max|x| / 127, q = round half away from zero of x / d
  // (computed as x * (1 / d)), sum = sum of q. All q are 0 where 1 / d is 0 or not finite: in
  // blocks of zeros, for d below 2^-128, and beside an infinity or a NaN, which then shows in d.
  // The same bits from every table. REQUIRES: n % 32 == 0.
  void (*quantize_q8)(const float* x, int64_t n, int8_t* q, float* d, int32_t* sum);

  // y[i] = weight[i] * x[i] / sqrt(mean(x^2) + eps). y may be x.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* y);

  // Puts a position's key and value, (d) each, into its place of its tile.
  void (*store_kv)(const KvTile& tile, const float* k, const float* v, int64_t slot, std::byte* to);

  // out = softmax(q k^T / sqrt(d)) v. The bits of a query's output depend on nothing but the query
  // and what it sees: tiles begin at multiples of 128 positions, whoever else is in the block.
  // scratch: attention_scratch floats, aligned to 64 bytes.
  void (*attend)(const AttentionBlock& block, float* scratch);

  // For measuring the machine: nothing but integer dot products, as fast as they go, returning how
  // many multiply-adds that were; and nothing but reading memory, in steps of up to 512 bytes.
  int64_t (*peak_int8)(int64_t iterations);
  void (*read_all)(const void* p, int64_t bytes);
};

// Tables compiled into this binary that a CPU with these features (CpuFeature) can run, best first;
// the last is "scalar".
std::vector<const KernelTable*> usable_kernels(uint64_t features);
// The same for this CPU.
std::span<const KernelTable* const> usable_kernels();

// The best of `usable`, or the one called `force`. Throws Error(kInvalidUsage) naming the usable
// ones when `force` is unknown or not among them.
const KernelTable& pick_kernels(std::string_view force, std::span<const KernelTable* const> usable);
// The same for this CPU.
const KernelTable& pick_kernels(std::string_view force = {});

}  // namespace st
