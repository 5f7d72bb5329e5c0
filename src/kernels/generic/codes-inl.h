// Codes of kChains blocks as bytes: the first 16 of each block, a part each, and the last 16. What
// sums of rows and of columns read of W, a type with load(), but from Q4_0 and Q8_0, which have
// ways of their own.
#pragma once

#include <type_traits>

#include "kernels/generic/super-blocks-inl.h"
#include "kernels/generic/table-blocks-inl.h"

namespace st {
namespace {

template <typename W>
struct CodesOf {
  static constexpr int kBits = W::kBits;
  static constexpr int kOffset = W::kOffset;  // what codes have been increased by
  // Whether they are signed bytes all the same.
  static constexpr bool kSigned = std::is_base_of_v<ByteDots, W> && kQ8Offset == 0;

  // Products with signed bytes, four to a lane, added to v.
  ST_INLINE static VecI dot(VecI v, Bytes codes, Bytes x) { return W::dot(v, codes, x); }

  // Of the blocks from block b on, of a row of `blocks`; zero beyond.
  ST_INLINE static void load(const uint8_t* row, int64_t b, int64_t blocks, Bytes& low,
                             Bytes& high) {
    constexpr int64_t kChunkBytes = kChunkBlocks * kBlock * kBits / 8;
    const int64_t chunk = b / kChunkBlocks, left = blocks - chunk * kChunkBlocks;
    const W w = W::load(row + chunk * kChunkBytes, static_cast<int>(b % kChunkBlocks),
                        left < kChunkBlocks ? static_cast<int>(left) : kChunkBlocks);
    low = w.low;
    high = w.high;
  }
};

}  // namespace
}  // namespace st
