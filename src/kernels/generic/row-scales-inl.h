// Scales of a row as floats, for sums of rows: of n <= kCodeBlocks blocks from block `first` on, a
// multiple of 4, in a row of `blocks`.
//
//   kHalves           1: a scale belongs to a block; 2: to half of one
//   kHasMins          and so does a minimum
//   bytes(blocks)     of all scales of a row
//   read(...)         scale and min of halves 0 .. kHalves
#pragma once

#include "tensor/float16.h"
#include "tensor/sub_scales.h"

namespace st {
namespace {

constexpr int64_t kCodeColumns = 1024;  // columns at a time
constexpr int kCodeBlocks = kCodeColumns / kBlock;

struct BlockFloats {
  alignas(64) float scale[2][kCodeBlocks], min[2][kCodeBlocks];
};

ST_INLINE void read_halves(const uint8_t* from, int n, float* to) {
  for (int i = 0; i < n; i += kLanes) {
    store(to + i, F16::load(halves(from) + i, n - i < kLanes ? n - i : kLanes));
  }
}

// d of each block.
struct RowOfD {
  static constexpr int kHalves = 1;
  static constexpr bool kHasMins = false;
  static int64_t bytes(int64_t blocks) { return 2 * blocks; }
  ST_INLINE static void read(const uint8_t* s, int64_t /*blocks*/, int64_t first, int n,
                             BlockFloats& out) {
    read_halves(s + 2 * first, n, out.scale[0]);
  }
};

// And m, which is added.
struct RowOfDAndM {
  static constexpr int kHalves = 1;
  static constexpr bool kHasMins = true;
  static int64_t bytes(int64_t blocks) { return 4 * blocks; }
  ST_INLINE static void read(const uint8_t* s, int64_t blocks, int64_t first, int n,
                             BlockFloats& out) {
    read_halves(s + 2 * first, n, out.scale[0]);
    read_halves(s + 2 * (blocks + first), n, out.min[0]);
    for (int i = 0; i < n; ++i) out.min[0][i] = -out.min[0][i];
  }
};

struct RowOfExponents {
  static constexpr int kHalves = 1;
  static constexpr bool kHasMins = false;
  static int64_t bytes(int64_t blocks) { return blocks; }
  ST_INLINE static void read(const uint8_t* s, int64_t /*blocks*/, int64_t first, int n,
                             BlockFloats& out) {
    for (int i = 0; i < n; ++i) out.scale[0][i] = half_e8m0_to_f32(s[first + i]);
  }
};

// The scales of super-blocks. T reads sub-block k of 16 or of 32 values: d and m are those of the
// super-block, `sub` its packed scales.
template <typename T>
struct RowOfSuperBlocks {
  static constexpr int kHalves = T::kHalves;
  static constexpr bool kHasMins = T::kHasMins;
  static constexpr int kSubs = kSuperBlock / kBlock;

  static int64_t bytes(int64_t blocks) { return blocks / kSubs * T::kBytes; }
  ST_INLINE static void read(const uint8_t* s, int64_t blocks, int64_t first, int n,
                             BlockFloats& out) {
    for (int i = 0; i < n; i += kChunkBlocks) {  // half a super-block
      const int64_t super = (first + i) / kSubs;
      const auto k = static_cast<int>((first + i) % kSubs);
      const T at(s, super, blocks / kSubs);
      const float d = F16::load(at.d, 1)[0], m = kHasMins ? F16::load(at.m, 1)[0] : 0;
      for (int j = 0; j < kChunkBlocks; ++j) {
        for (int half = 0; half < kHalves; ++half) {
          const SubScale sub = at.sub_scale((k + j) * kHalves + half);
          out.scale[half][i + j] = d * static_cast<float>(sub.scale);
          if (kHasMins) out.min[half][i + j] = m * static_cast<float>(sub.min);
        }
      }
    }
  }
};

// Q4_K and Q5_K.
struct SixBitRow {
  static constexpr int kHalves = 1, kBytes = 16;
  static constexpr bool kHasMins = true;
  const uint16_t *d, *m;
  const uint8_t* sub;

  SixBitRow(const uint8_t* s, int64_t i, int64_t /*all*/)
      : d(halves(s + 16 * i)), m(d + 1), sub(s + 16 * i + 4) {}
  ST_INLINE SubScale sub_scale(int k) const { return sub_scale_q4_k(sub, k); }
};
struct Q2_KRow {
  static constexpr int kHalves = 2, kBytes = 20;
  static constexpr bool kHasMins = true;
  const uint16_t *d, *m;
  const uint8_t* sub;

  Q2_KRow(const uint8_t* s, int64_t i, int64_t all)
      : d(halves(s + 16 * all + 4 * i)), m(d + 1), sub(s + 16 * i) {}
  ST_INLINE SubScale sub_scale(int k) const { return sub_scale_q2_k(sub, k); }
};
struct Q3_KRow {
  static constexpr int kHalves = 2, kBytes = 14;
  static constexpr bool kHasMins = false;
  const uint16_t *d, *m = nullptr;
  const uint8_t* sub;

  Q3_KRow(const uint8_t* s, int64_t i, int64_t all)
      : d(halves(s + 12 * all + 2 * i)), sub(s + 12 * i) {}
  ST_INLINE SubScale sub_scale(int k) const { return {sub_scale_q3_k(sub, k), 0}; }
};
struct Q6_KRow {
  static constexpr int kHalves = 2, kBytes = 18;
  static constexpr bool kHasMins = false;
  const uint16_t *d, *m = nullptr;
  const uint8_t* sub;

  Q6_KRow(const uint8_t* s, int64_t i, int64_t all)
      : d(halves(s + 16 * all + 2 * i)), sub(s + 16 * i) {}
  ST_INLINE SubScale sub_scale(int k) const { return {static_cast<int8_t>(sub[k]), 0}; }
};
struct IQ4_XSRow {
  static constexpr int kHalves = 1, kBytes = 8;
  static constexpr bool kHasMins = false;
  const uint16_t *d, *m = nullptr;

  IQ4_XSRow(const uint8_t* s, int64_t i, int64_t /*all*/) : d(halves(s + 8 * i)) {}
  ST_INLINE SubScale sub_scale(int k) const {
    return {sub_scale_iq4_xs(d[1], reinterpret_cast<const uint8_t*>(d + 2), k), 0};
  }
};

}  // namespace
}  // namespace st
