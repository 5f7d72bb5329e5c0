// How weights in blocks become operands of the byte dot product of the including file.
//
// A type W is a struct that says how kChains blocks of a row are read and what their scales are.
// Value i of a block is scale * (code[i] - kOffset) + base. Where halves of blocks have scales of
// their own, these are integers times the d of a super-block, and bases likewise:
//
//   kBits           of a code, in all planes (tensor/planes.h); 8: bytes
//   kScaleBytes     of the scales of 256 values
//   kBlockArrays    of these, with a number for each block; 0: all belong to super-blocks
//   kOffset         which codes are stored with; taken back with the sum of the activations
//   kScales         1, or 2: a scale for each half of a block
//   kHasBase        whether there are bases, as many as scales
//   low, high       codes of the first and of the last halves of the blocks, a part each
//   load(q, place, n)   of blocks place, place + 1 ... of a chunk of n blocks, which begins at q
//   scales(rows, b, n, out)   of n blocks from block b on of four rows
//   dot_block(), dot_half(), dot_tiles()   how codes meet activations: CodeDots or ByteDots
//   add_scaled(dots, scale, d, sums)       sums + dots * scale * d, d: of the activations; with one
//                                          scale
//
// Those with sum_rows and sum_columns have what these need besides.
#pragma once

#include "tensor/blocks.h"
#include "tensor/planes.h"

namespace st {
namespace {

// Float accumulators of an output: block b of a row is added to number b % kChains.
constexpr int kChains = kLanes / 4;
constexpr int kStepBlocks = kTune.step_vecs * kChains;

// The scales of four rows, and how many blocks each has.
struct FourScales {
  const uint8_t* row[4];
  int64_t blocks;
};

// Of a step: the vector s of each has block s * kChains + i of row r in lane 4 i + r.
template <typename W, int kScales = W::kScales>
struct StepScales {
  VecF scale[kTune.step_vecs];
  VecF base[kTune.step_vecs];
};
// The same of halves, as pairs of words, and what these are to be multiplied by.
template <typename W>
struct StepScales<W, 2> {
  Bytes scale[kTune.step_vecs];
  Bytes base[kTune.step_vecs];
  VecF d, base_d;
};

// The first and the second word of each lane.
ST_INLINE VecI first_words(VecI pairs) { return pairs << 16 >> 16; }
ST_INLINE VecI second_words(VecI pairs) { return pairs >> 16; }

// Bytes of the quants and of the scales of a row.
template <typename W>
ST_INLINE int64_t quant_bytes(int64_t cols) {
  return cols * W::kBits / 8;
}
template <typename W>
ST_INLINE int64_t scale_bytes(int64_t cols) {
  return cols * W::kScaleBytes / 256;
}

ST_INLINE const uint16_t* halves(const uint8_t* p) { return reinterpret_cast<const uint16_t*>(p); }

// One half-precision number for each block, the row's first ones `at` bytes on.
ST_INLINE void load_halves_of(const FourScales& rows, int64_t at, int64_t b, int n,
                              VecF (&out)[kTune.step_vecs]) {
  const auto row = [&](int r) { return halves(rows.row[r] + at) + b; };
  scales(row(0), row(1), row(2), row(3), n, out);
}

// Most types.
struct OneScale {
  using Scaling = OneScale;
  static constexpr int kScales = 1;
  static constexpr bool kHasBase = false;
  ST_INLINE static VecF add_scaled(VecI dots, VecF scale, VecF d, VecF sums) {
    return fma(to_float(dots), scale * d, sums);
  }
};
struct TwoScales {
  using Scaling = TwoScales;
  static constexpr int kScales = 2, kBlockArrays = 0;
  static constexpr bool kHasBase = false;
};
// d of each block; or then m of each, too.
struct WithD : OneScale {
  static constexpr int kScaleBytes = 16, kBlockArrays = 1;
  template <typename W>
  ST_INLINE static void scales(const FourScales& rows, int64_t b, int n, StepScales<W>& out) {
    load_halves_of(rows, 0, b, n, out.scale);
  }
};
struct WithM : OneScale {
  static constexpr bool kHasBase = true;
  static constexpr int kScaleBytes = 32, kBlockArrays = 2;
  template <typename W>
  ST_INLINE static void scales(const FourScales& rows, int64_t b, int n, StepScales<W>& out) {
    load_halves_of(rows, 0, b, n, out.scale);
    load_halves_of(rows, 2 * rows.blocks, b, n, out.base);
  }
};

// What matters of a type once its rows are unpacked, which may be the same of several.
template <typename DotsOf, typename ScalingOf, int offset, bool has_base>
struct Unpacked : DotsOf, ScalingOf {
  static constexpr int kOffset = offset;
  static constexpr bool kHasBase = has_base;
};
template <typename W>
using UnpackedOf = Unpacked<typename W::Dots, typename W::Scaling, W::kOffset, W::kHasBase>;

struct Q4_0 : CodeDots<15>, WithD {
  static constexpr int kBits = 4;
  static constexpr int kOffset = 8;
  static constexpr int kBlockBytes = 16;
  static constexpr int kSumVecs = 1;
  Bytes low, high;

  static int64_t offset(int64_t row, int64_t b, int64_t cols) { return row * (cols / 2) + b * 16; }
  ST_INLINE static Q4_0 load(const uint8_t* q, int place, int n) {
    const Bytes pairs = load_bytes(q + place * kBlockBytes, (n - place) * kBlockBytes);
    return {{}, {}, low_nibbles(pairs), high_nibbles(pairs)};
  }

  ST_INLINE static VecI spread_products(const int32_t* p, int) { return spread(p, kChains); }

  // Sums of rows: a word is columns 2 i, 2 i + 16, 2 i + 1 and 2 i + 17 of a block.
  static constexpr int kRowOffset = 8;
  ST_INLINE static void add_rows(Bytes words, Bytes h, WordSum* sums) {
    add_words(sums[0], mask_words(words, 0x000F), h);
    add_words(sums[1], mask_words(words, 0x0F00), h);
    add_words(sums[2], mask_words(words, 0x00F0), h);
    add_words(sums[3], shift_words<12>(words), h);
  }
  // Slots 4 i + k are sums[k] above; this far up they lie.
  static constexpr int shift(int slot) { return slot % 4 == 1 ? 8 : slot % 4 == 2 ? 4 : 0; }
  static int word_column(int slot, int quad) {
    return quad * 32 + slot / 4 * 8 + slot / 2 % 2 * 16;
  }

  // Column of the first of four lanes; where a regrouped matrix has the slot's scales.
  static int slot_column(int slot, int quad) { return quad * 32 + slot / 4 * 16 + slot % 4 * 4; }
  static int scale_place(int part, int slot) { return slot * 16 + part * kLanes; }
};

struct Q8_0 : ByteDots, WithD {
  static constexpr int kBits = 8;
  static constexpr int kOffset = kQ8Offset;
  static constexpr int kBlockBytes = 32;
  static constexpr int kSumVecs = 2;
  Bytes low, high;

  static int64_t offset(int64_t row, int64_t b, int64_t cols) { return row * cols + b * 32; }
  ST_INLINE static Q8_0 load(const uint8_t* q, int place, int n) {
    const uint8_t* at = q + place * kBlock;
    const int bytes = (n - place) * kBlock;
    Q8_0 w;
    split_halves(load_bytes(at, bytes), load_bytes(at + kBytes, bytes - kBytes), w.low, w.high);
    w.low = q8_weights(w.low);
    w.high = q8_weights(w.high);
    return w;
  }

  ST_INLINE static VecI spread_products(const int32_t* p, int v) {
    return spread_pair(p + v * kChains / 2);
  }

  // Sums of rows: a word is columns 2 i and 2 i + 1.
  static constexpr int kRowOffset = 0;
  ST_INLINE static void add_rows(Bytes words, Bytes h, WordSum* sums) {
    add_words(sums[0], low_bytes(words), h);
    add_words(sums[1], high_bytes(words), h);
  }
  static constexpr int shift(int) { return 0; }
  static int word_column(int slot, int quad) {
    return slot / 4 * kBytes + quad * 16 + slot / 2 % 2 * 8;
  }

  static int slot_column(int slot, int quad) {
    return slot / 4 * kBytes + quad * 16 + slot % 4 * 4;
  }
  static int scale_place(int part, int slot) {
    const int column = part * kLanes * 8 + slot_column(slot, 0);
    return (column / 64 * 4 + slot % 4) * 16 + column / 16 % 4 * 4;
  }
};

}  // namespace
}  // namespace st
