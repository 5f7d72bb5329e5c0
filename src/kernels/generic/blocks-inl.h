// How Q4_0 and Q8_0 weights become operands of the byte dot product of the including file.
//
// Where it multiplies unsigned by signed bytes, weights are stored with kOffset added, which is
// taken back with the sum of the activations.
#pragma once

#include "tensor/blocks.h"

namespace st {
namespace {

// Float accumulators of an output: block b of a row is added to number b % kChains.
constexpr int kChains = kLanes / 4;

ST_INLINE const uint16_t* halves(const uint8_t* p) { return reinterpret_cast<const uint16_t*>(p); }

struct Q4_0 : NibbleDots {
  static constexpr int kOffset = 8;
  static constexpr int kBlockBytes = 16;
  static constexpr int kSumVecs = 1;
  Bytes low, high;

  static int64_t offset(int64_t row, int64_t b, int64_t cols) { return row * (cols / 2) + b * 16; }
  ST_INLINE static Q4_0 load(const uint8_t* q, int n) {
    const Bytes pairs = load_bytes(q, n * kBlockBytes);
    return {{}, low_nibbles(pairs), high_nibbles(pairs)};
  }
  ST_INLINE static void unpack(const uint8_t* q, uint8_t* u) {
    using Pairs = uint8_t __attribute__((vector_size(16)));
    Pairs pairs;
    __builtin_memcpy(&pairs, q, sizeof pairs);
    const Pairs first = pairs & 15, second = pairs >> 4;
    __builtin_memcpy(u, &first, sizeof first);
    __builtin_memcpy(u + sizeof first, &second, sizeof second);
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

  ST_INLINE static void add_product(Bytes pairs, Bytes h, VecI* sums) {
    sums[0] = dot(sums[0], low_nibbles(pairs), h);
    sums[4] = dot(sums[4], high_nibbles(pairs), h);
  }
  // Column of the first of four lanes; where a regrouped matrix has the slot's scales.
  static int slot_column(int slot, int quad) { return quad * 32 + slot / 4 * 16 + slot % 4 * 4; }
  static int scale_place(int part, int slot) { return slot * 16 + part * kLanes; }
};

struct Q8_0 : ByteDots {
  static constexpr int kOffset = kQ8Offset;
  static constexpr int kBlockBytes = 32;
  static constexpr int kSumVecs = 2;
  Bytes low, high;

  static int64_t offset(int64_t row, int64_t b, int64_t cols) { return row * cols + b * 32; }
  ST_INLINE static Q8_0 load(const uint8_t* q, int n) {
    Q8_0 w;
    split_halves(load_bytes(q, n * kBlock), load_bytes(q + kBytes, n * kBlock - kBytes), w.low,
                 w.high);
    w.low = q8_weights(w.low);
    w.high = q8_weights(w.high);
    return w;
  }
  ST_INLINE static void unpack(const uint8_t* q, uint8_t* u) {
    for (int i = 0; i < kBlock; ++i) u[i] = static_cast<uint8_t>(q[i] ^ kQ8Offset);
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

  ST_INLINE static void add_product(Bytes q, Bytes h, VecI* sums) {
    sums[0] = dot(sums[0], q8_weights(q), h);
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
