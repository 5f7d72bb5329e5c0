// Each type's way from a file to the planes of quants and the scales of a row, and back to numbers.

#include <algorithm>
#include <cstring>

#include "tensor/bytes16.h"
#include "tensor/float16.h"
#include "tensor/layout.h"
#include "tensor/plane_codes.h"
#include "tensor/planes.h"
#include "tensor/regroup.h"
#include "tensor/sub_scales.h"

namespace st {
namespace {

float load_half(const uint8_t* p) {
  uint16_t half;
  std::memcpy(&half, p, sizeof half);
  return f16_to_f32(half);
}

// The first n of each of `groups` groups, `step` bytes apart.
bool halves_are_finite_in(const uint8_t* p, int64_t groups, int64_t step, int64_t n) {
  bool finite = true;
  for (int64_t i = 0; i < groups; ++i) finite &= halves_are_finite(p + i * step, n);
  return finite;
}

// ---- Quants of super-blocks ----

// The nibbles of two blocks from 32 bytes that have a value of each: low ones, high ones.
void nibbles_of_two(const uint8_t* q, uint8_t* low, uint8_t* high) {
  const Bytes16 first = load(q), last = load(q + 16);
  store(low, (first & 15) | last << 4);
  store(high, first >> 4 | (last & 0xF0));
}

// Those of a super-block where a byte has values of neighbouring blocks.
void nibbles_of_neighbours(const uint8_t* q, uint8_t* out) {
  for (int pair = 0; pair < 4; ++pair) {
    nibbles_of_two(q + 32 * pair, out + 32 * pair, out + 32 * pair + 16);
  }
}

// The pairs of a chunk from 32 bytes that have a value of each block.
void pairs_of_chunk(const uint8_t* q, uint8_t* out) {
  Bytes16 first = load(q), last = load(q + 16);
  for (int i = 0; i < 2; ++i, first >>= 4, last >>= 4) {
    store(out + 16 * i, (first & 3) | (last & 3) << 2 | (first & 12) << 2 | (last & 12) << 4);
  }
}

// The singles of a chunk from 32 bytes that have a bit of each block, from bit `up` on.
void singles_of_chunk(const uint8_t* q, int up, uint8_t* out) {
  const auto spread = [up](Bytes16 v) {  // bit b to bit 2 b
    v = v >> up & 15;
    v = (v | v << 2) & 0x33;
    return (v | v << 1) & 0x55;
  };
  store(out, spread(load(q)) | spread(load(q + 16)) << 1);
}

// The singles of n <= 4 blocks that have 32 bits each, behind their nibbles.
void singles_of_blocks(const uint32_t* bits, int64_t n, uint8_t* out) {
  if (n < kChunkBlocks) return void(std::memcpy(out, bits, static_cast<size_t>(n) * 4));
  const auto spread = [](uint32_t byte) {  // bit i to byte i, as 0 or 1
    const uint64_t each = (byte & 255) * uint64_t{0x0101010101010101} & 0x8040201008040201;
    return (each + 0x7F7F7F7F7F7F7F7F) >> 7 & 0x0101010101010101;
  };
  for (int eight = 0; eight < 2; ++eight) {
    uint64_t bytes = 0;
    for (int b = 0; b < kChunkBlocks; ++b) {
      const uint32_t low = bits[b] >> (8 * eight), high = bits[b] >> (8 * eight + 16);
      bytes |= (spread(low) | spread(high) << 1) << (2 * b);
    }
    std::memcpy(out + 8 * eight, &bytes, sizeof bytes);
  }
}

// ---- Reading back ----

template <Planes kPlanes>
void set_codes(const RowPlace& at, int offset, DecodedBlock& out) {
  uint8_t codes[kBlock];
  read_codes<kPlanes>(at.q, at.block, at.blocks, codes);
  for (int i = 0; i < kBlock; ++i) out.code[i] = static_cast<int8_t>(codes[i] - offset);
}

void set_codes(const RowPlace& at, const int8_t* table, DecodedBlock& out) {
  uint8_t codes[kBlock];
  read_codes<kNibbles>(at.q, at.block, at.blocks, codes);
  for (int i = 0; i < kBlock; ++i) out.code[i] = table[codes[i]];
}

constexpr float kNoBase = -0.0f;

// Of the whole block.
void set_scale(float scale, float base, DecodedBlock& out) {
  for (int half = 0; half < 2; ++half) {
    out.scale[half] = scale;
    out.base[half] = base;
  }
}

// ---- Types ----
//
// quants() and scales() take `n` blocks of a file, as many as come together: what is there of a
// chunk. `i`: the first of them, of `all` in the row. finite(): whether all scales of a row are.

// Scales in half precision, one for each block.
template <typename FileBlock>
struct WithD {
  using Block = FileBlock;
  static void scales(const Block& block, int64_t i, int64_t /*all*/, uint8_t* to) {
    std::memcpy(to + 2 * i, &block.d, 2);
  }
  static bool finite(const uint8_t* scales, int64_t all) { return halves_are_finite(scales, all); }
  static void read_scales(const RowPlace& at, DecodedBlock& out) {
    set_scale(load_half(at.scales + 2 * at.block), kNoBase, out);
  }
};
// With minimums in half precision: those of the row after all scales.
template <typename FileBlock>
struct WithM {
  using Block = FileBlock;
  static void scales(const Block& block, int64_t i, int64_t all, uint8_t* to) {
    std::memcpy(to + 2 * i, &block.d, 2);
    std::memcpy(to + 2 * (all + i), &block.m, 2);
  }
  static bool finite(const uint8_t* scales, int64_t all) {
    return halves_are_finite(scales, 2 * all);
  }
  static void read_scales(const RowPlace& at, DecodedBlock& out) {
    const uint8_t* m = at.scales + 2 * at.blocks;
    set_scale(load_half(at.scales + 2 * at.block), load_half(m + 2 * at.block), out);
  }
};

// Nibbles that lie in a file as in memory.
template <typename Scales>
struct OneNibble : Scales {
  static constexpr int kTogether = 1, kBits = 4;
  static void quants(const typename Scales::Block* block, int64_t /*n*/, uint8_t* q) {
    std::memcpy(q, block->qs, sizeof block->qs);
  }
};
// Nibbles and a fifth bit in blocks of 32.
template <typename Scales>
struct FiveBits : Scales {
  static constexpr int kTogether = kChunkBlocks, kBits = 5;
  static void quants(const typename Scales::Block* blocks, int64_t n, uint8_t* q) {
    uint32_t bits[kChunkBlocks];
    for (int64_t i = 0; i < n; ++i) {
      std::memcpy(q + 16 * i, blocks[i].qs, 16);
      std::memcpy(bits + i, blocks[i].qh, 4);
    }
    singles_of_blocks(bits, n, q + 16 * n);
  }
};

struct SplitQ4_0 : OneNibble<WithD<BlockQ4_0>> {
  static void codes(const RowPlace& at, DecodedBlock& out) { set_codes<kNibbles>(at, 8, out); }
};

struct SplitQ4_1 : OneNibble<WithM<BlockQ4_1>> {
  static void codes(const RowPlace& at, DecodedBlock& out) { set_codes<kNibbles>(at, 0, out); }
};

struct SplitQ5_0 : FiveBits<WithD<BlockQ5_0>> {
  static void codes(const RowPlace& at, DecodedBlock& out) {
    set_codes<kNibblesAndSingles>(at, 16, out);
  }
};

struct SplitQ5_1 : FiveBits<WithM<BlockQ5_1>> {
  static void codes(const RowPlace& at, DecodedBlock& out) {
    set_codes<kNibblesAndSingles>(at, 0, out);
  }
};

struct SplitQ8_0 : WithD<BlockQ8_0> {
  static constexpr int kTogether = 1, kBits = 8;
  static void quants(const BlockQ8_0* block, int64_t /*n*/, uint8_t* q) {
    std::memcpy(q, block->qs, sizeof block->qs);
  }
  static void codes(const RowPlace& at, DecodedBlock& out) {
    std::memcpy(out.code, at.q + kBlock * at.block, kBlock);
  }
};

struct SplitIQ4_NL : OneNibble<WithD<BlockIQ4_NL>> {
  static void codes(const RowPlace& at, DecodedBlock& out) { set_codes(at, kIQ4Values, out); }
};

// Exponents, a byte for each block.
struct WithE {
  using Block = BlockMXFP4;
  static void scales(const Block& block, int64_t i, int64_t /*all*/, uint8_t* to) {
    to[i] = block.e;
  }
  static bool finite(const uint8_t* scales, int64_t all) {
    return std::memchr(scales, kE8M0NaN, static_cast<size_t>(all)) == nullptr;
  }
};
struct SplitMXFP4 : OneNibble<WithE> {
  static void codes(const RowPlace& at, DecodedBlock& out) { set_codes(at, kE2M1Values, out); }
  static void read_scales(const RowPlace& at, DecodedBlock& out) {
    set_scale(half_e8m0_to_f32(at.scales[at.block]), kNoBase, out);
  }
};

// Of a super-block 16 bytes as in the file: d, dmin, six-bit scales and minimums of 32 values.
template <typename FileBlock>
struct SixBits {
  using Block = FileBlock;
  static constexpr int kTogether = 1;
  static void scales(const Block& block, int64_t i, int64_t /*all*/, uint8_t* to) {
    std::memcpy(to + 16 * i, &block, 16);
  }
  static bool finite(const uint8_t* scales, int64_t all) {
    return halves_are_finite_in(scales, all, 16, 2);
  }
  static void read_scales(const RowPlace& at, DecodedBlock& out) {
    const uint8_t* s = at.scales + 16 * at.super_block();
    const SubScale sub = sub_scale_q4_k(s + 4, at.in_super_block());
    set_scale(load_half(s) * static_cast<float>(sub.scale),
              -load_half(s + 2) * static_cast<float>(sub.min), out);
  }
};

struct SplitQ4_K : SixBits<BlockQ4_K> {
  static constexpr int kBits = 4;
  static void quants(const BlockQ4_K* block, int64_t /*n*/, uint8_t* q) {
    nibbles_of_neighbours(block->qs, q);
  }
  static void codes(const RowPlace& at, DecodedBlock& out) { set_codes<kNibbles>(at, 0, out); }
};

struct SplitQ5_K : SixBits<BlockQ5_K> {
  static constexpr int kBits = 5;
  static void quants(const BlockQ5_K* block, int64_t /*n*/, uint8_t* q) {
    constexpr int kChunk = kNibblesAndSingles.chunk_bytes();
    for (int chunk = 0; chunk < 2; ++chunk, q += kChunk) {
      const uint8_t* qs = block->qs + 64 * chunk;
      nibbles_of_two(qs, q, q + 16);
      nibbles_of_two(qs + 32, q + 32, q + 48);
      singles_of_chunk(block->qh, 4 * chunk, q + kNibblesAndSingles.singles_at());
    }
  }
  static void codes(const RowPlace& at, DecodedBlock& out) {
    set_codes<kNibblesAndSingles>(at, 0, out);
  }
};

// The 16 scales of each super-block, then d of all.
struct SplitQ6_K {
  using Block = BlockQ6_K;
  static constexpr int kTogether = 1, kBits = 6;
  static void quants(const Block* block, int64_t /*n*/, uint8_t* q) {
    for (int chunk = 0; chunk < 2; ++chunk, q += kNibblesAndPairs.chunk_bytes()) {
      const uint8_t* ql = block->ql + 64 * chunk;
      nibbles_of_two(ql, q, q + 32);
      nibbles_of_two(ql + 32, q + 16, q + 48);
      pairs_of_chunk(block->qh + 32 * chunk, q + kNibblesAndPairs.pairs_at());
    }
  }
  static void scales(const Block& block, int64_t i, int64_t all, uint8_t* to) {
    std::memcpy(to + 16 * i, block.scales, 16);
    std::memcpy(to + 16 * all + 2 * i, &block.d, 2);
  }
  static void codes(const RowPlace& at, DecodedBlock& out) {
    set_codes<kNibblesAndPairs>(at, 32, out);
  }
  static bool finite(const uint8_t* scales, int64_t all) {
    return halves_are_finite(scales + 16 * all, all);
  }
  static void read_scales(const RowPlace& at, DecodedBlock& out) {
    const uint8_t* sub = at.scales + 2 * at.block;
    const float d = load_half(at.scales + 16 * at.super_blocks() + 2 * at.super_block());
    for (int half = 0; half < 2; ++half) {
      out.scale[half] = d * static_cast<float>(static_cast<int8_t>(sub[half]));
      out.base[half] = kNoBase;
    }
  }
};

// The 16 bytes of scales and minimums of each super-block, then d and dmin of all.
struct SplitQ2_K {
  using Block = BlockQ2_K;
  static constexpr int kTogether = 1, kBits = 2;
  static void quants(const Block* block, int64_t /*n*/, uint8_t* q) {
    for (int chunk = 0; chunk < 2; ++chunk) {
      pairs_of_chunk(block->qs + 32 * chunk, q + chunk * kPairs.chunk_bytes());
    }
  }
  static void scales(const Block& block, int64_t i, int64_t all, uint8_t* to) {
    std::memcpy(to + 16 * i, block.scales, 16);
    std::memcpy(to + 16 * all + 4 * i, &block.d, 2);
    std::memcpy(to + 16 * all + 4 * i + 2, &block.dmin, 2);
  }
  static void codes(const RowPlace& at, DecodedBlock& out) { set_codes<kPairs>(at, 0, out); }
  static bool finite(const uint8_t* scales, int64_t all) {
    return halves_are_finite(scales + 16 * all, 2 * all);
  }
  static void read_scales(const RowPlace& at, DecodedBlock& out) {
    const uint8_t* d = at.scales + 16 * at.super_blocks() + 4 * at.super_block();
    for (int half = 0; half < 2; ++half) {
      const SubScale sub =
          sub_scale_q2_k(at.scales + 16 * at.super_block(), 2 * at.in_super_block() + half);
      out.scale[half] = load_half(d) * static_cast<float>(sub.scale);
      out.base[half] = -load_half(d + 2) * static_cast<float>(sub.min);
    }
  }
};

// The 12 bytes of scales of each super-block, then d of all.
struct SplitQ3_K {
  using Block = BlockQ3_K;
  static constexpr int kTogether = 1, kBits = 3;
  static void quants(const Block* block, int64_t /*n*/, uint8_t* q) {
    for (int chunk = 0; chunk < 2; ++chunk, q += kPairsAndSingles.chunk_bytes()) {
      pairs_of_chunk(block->qs + 32 * chunk, q);
      singles_of_chunk(block->hmask, 4 * chunk, q + kPairsAndSingles.singles_at());
    }
  }
  static void scales(const Block& block, int64_t i, int64_t all, uint8_t* to) {
    std::memcpy(to + 12 * i, block.scales, 12);
    std::memcpy(to + 12 * all + 2 * i, &block.d, 2);
  }
  static void codes(const RowPlace& at, DecodedBlock& out) {
    set_codes<kPairsAndSingles>(at, 4, out);
  }
  static bool finite(const uint8_t* scales, int64_t all) {
    return halves_are_finite(scales + 12 * all, all);
  }
  static void read_scales(const RowPlace& at, DecodedBlock& out) {
    const float d = load_half(at.scales + 12 * at.super_blocks() + 2 * at.super_block());
    for (int half = 0; half < 2; ++half) {
      const int sub =
          sub_scale_q3_k(at.scales + 12 * at.super_block(), 2 * at.in_super_block() + half);
      out.scale[half] = d * static_cast<float>(sub);
      out.base[half] = kNoBase;
    }
  }
};

// Of a super-block 8 bytes as in the file: d and the scales of 32 values.
struct SplitIQ4_XS {
  using Block = BlockIQ4_XS;
  static constexpr int kTogether = 1, kBits = 4;
  static void quants(const Block* block, int64_t /*n*/, uint8_t* q) {
    std::memcpy(q, block->qs, sizeof block->qs);
  }
  static void scales(const Block& block, int64_t i, int64_t /*all*/, uint8_t* to) {
    std::memcpy(to + 8 * i, &block, 8);
  }
  static void codes(const RowPlace& at, DecodedBlock& out) { set_codes(at, kIQ4Values, out); }
  static bool finite(const uint8_t* scales, int64_t all) {
    return halves_are_finite_in(scales, all, 8, 1);
  }
  static void read_scales(const RowPlace& at, DecodedBlock& out) {
    const uint8_t* s = at.scales + 8 * at.super_block();
    uint16_t top;
    std::memcpy(&top, s + 2, 2);
    const int sub = sub_scale_iq4_xs(top, s + 4, at.in_super_block());
    set_scale(load_half(s) * static_cast<float>(sub), kNoBase, out);
  }
};

// Blocks are copied before anything is written, so that quants may come where the blocks are. Small
// ones are copied many together: one that is read right behind its own copy, in other pieces, waits
// until the processor has stored it.
template <int kValues, typename T>
void split_row(const std::byte* blocks, int64_t cols, uint8_t* q, uint8_t* scales) {
  using Block = typename T::Block;
  constexpr int64_t kBytes = sizeof(Block);
  constexpr int64_t kMany = kValues == kBlock ? 2048 / (kBytes * T::kTogether) : 1;
  constexpr int64_t kCopied = kMany * T::kTogether;
  const int64_t all = cols / kValues;
  Block some[kCopied];
  for (int64_t begin = 0; begin < all; begin += kCopied) {
    const int64_t count = std::min(all - begin, kCopied);
    std::memcpy(some, blocks + begin * kBytes, static_cast<size_t>(count * kBytes));
    for (int64_t i = 0; i < count; i += T::kTogether) {
      const int64_t n = std::min<int64_t>(count - i, T::kTogether);
      T::quants(some + i, n, q + (begin + i) * kValues * T::kBits / 8);
      for (int64_t k = i; k < i + n; ++k) T::scales(some[k], begin + k, all, scales);
    }
  }
}

template <typename T>
void read(const RowPlace& at, DecodedBlock& out) {
  T::codes(at, out);
  T::read_scales(at, out);
}

template <int kValues, typename T>
bool finite(const uint8_t* scales, int64_t cols) {
  return T::finite(scales, cols / kValues);
}

template <int kValues, typename T>
constexpr SplitLayout layout(const Regrouping& regrouping) {
  return {T::kBits, split_row<kValues, T>, read<T>, T::codes, finite<kValues, T>, &regrouping};
}

}  // namespace

const SplitLayout kSplitQ4_0 = layout<kBlock, SplitQ4_0>(kRegroupQ4_0);
const SplitLayout kSplitQ4_1 = layout<kBlock, SplitQ4_1>(kRegroupQ4_1);
const SplitLayout kSplitQ5_0 = layout<kBlock, SplitQ5_0>(kRegroupQ5_0);
const SplitLayout kSplitQ5_1 = layout<kBlock, SplitQ5_1>(kRegroupQ5_1);
const SplitLayout kSplitQ8_0 = layout<kBlock, SplitQ8_0>(kRegroupQ8_0);
const SplitLayout kSplitIQ4_NL = layout<kBlock, SplitIQ4_NL>(kRegroupIQ4_NL);
const SplitLayout kSplitMXFP4 = layout<kBlock, SplitMXFP4>(kRegroupMXFP4);
const SplitLayout kSplitQ2_K = layout<kSuperBlock, SplitQ2_K>(kRegroupQ2_K);
const SplitLayout kSplitQ3_K = layout<kSuperBlock, SplitQ3_K>(kRegroupQ3_K);
const SplitLayout kSplitQ4_K = layout<kSuperBlock, SplitQ4_K>(kRegroupQ4_K);
const SplitLayout kSplitQ5_K = layout<kSuperBlock, SplitQ5_K>(kRegroupQ5_K);
const SplitLayout kSplitQ6_K = layout<kSuperBlock, SplitQ6_K>(kRegroupQ6_K);
const SplitLayout kSplitIQ4_XS = layout<kSuperBlock, SplitIQ4_XS>(kRegroupIQ4_XS);

}  // namespace st
