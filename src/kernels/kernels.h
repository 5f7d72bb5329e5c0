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

#include "kernels/weight_format.h"
#include "tensor/kv_tile.h"

namespace st {

// Queries of consecutive tokens of one sequence against the keys and values of one head. A token
// sees its own position and those before, `window` in all.
struct AttentionBlock {
  KvTile tile;
  KvTiles tiles;     // all that some token sees
  int64_t position;  // of the first token; its own key and value are in the cache already
  int64_t tokens;
  int64_t window;  // INT64_MAX: all positions
  int64_t group;   // queries per token
  double divisor;  // of q k: sqrt(d), mostly
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

  // How weights are multiplied, one for each type that this table has kernels for.
  std::span<const WeightFormat> formats;
  // That of `type`; without any kernel where there is none.
  const WeightFormat& format(DType type) const;

  // Packs rows index[0..tokens) of x, or the first ones if index is null, for formats' gemm. Null
  // where tile_tokens is 0.
  void (*pack_tiles)(const Q8Rows& x, const int32_t* index, int64_t tokens, int64_t cols,
                     const Q8Tiles& tiles);

  // index[0..returned): the i < n with x[i] != 0 (a NaN is), ascending, plus `first`; values: their
  // x. Room for n of each, and 16 beyond.
  int64_t (*find_nonzero)(const float* x, int64_t n, int32_t first, int32_t* index, float* values);

  // x[i] = max(x[i], 0) for i < n, but a NaN stays one. Returns how many are not 0 then.
  int64_t (*relu)(float* x, int64_t n);

  // h[i] *= up[i] for i < n where h[i] is not 0; 0 stays 0 whatever up is.
  void (*multiply_active)(float* h, const float* up, int64_t n);

  // gate[i] = silu(gate[i]) * up[i] for i < n, silu(x) = x / (1 + exp(-x)). Each value's bits
  // depend on it alone.
  void (*silu_multiply)(float* gate, const float* up, int64_t n);

  // gate[i] = gelu(gate[i]) * up[i] for i < n, gelu(x) = x / 2 (1 + tanh(sqrt(2 / pi) (x +
  // 0.044715 x^3))). Each value's bits depend on it alone.
  void (*gelu_multiply)(float* gate, const float* up, int64_t n);

  // x[i] = gelu(x[i] - cutoff) where x[i] - cutoff is above 0, else 0, for i < n; a NaN stays one.
  // Returns how many were above a cutoff that is a number.
  int64_t (*gelu_above)(float* x, float cutoff, int64_t n);

  // x[i] = cap * tanh(x[i] / cap) for i < n.
  void (*soft_cap)(float* x, float cap, int64_t n);

  // y[i] += a * x[i] for i < n.
  void (*axpy)(float a, const float* x, int64_t n, float* y);

  // Quantises one row: per block of 32, d = max|x| / 127, q = round half away from zero of x / d
  // (computed as x * (1 / d)), sum = sum of q, half_sum = that of the first 16. All q are 0 where 1
  // / d is 0 or not finite: in blocks of zeros, for d below 2^-128, and beside an infinity or a
  // NaN, which then shows in d. The same bits from every table. REQUIRES: n % 32 == 0.
  void (*quantize_q8)(const float* x, int64_t n, int8_t* q, float* d, int32_t* sum,
                      int32_t* half_sum);

  // y[i] = weight[i] * x[i] / sqrt(mean(x^2) + eps); without weight[i] if it is null. y may be x.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* y);

  // Puts a position's key and value, (d) each, into its place of its tile.
  void (*store_kv)(const KvTile& tile, const float* k, const float* v, int64_t slot, std::byte* to);

  // out = softmax(q k^T / divisor) v. The bits of a query's output depend on nothing but the query
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
