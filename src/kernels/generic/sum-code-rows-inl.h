// The same sums of rows as in sum-rows-inl.h, for the types that codes-inl.h reads: products of h
// with scales of blocks, or of their halves, are rounded to 15-bit integers, and what h does with
// minimums is added as it is, row by row.

#include "kernels/generic/codes-inl.h"
#include "kernels/generic/fetch-inl.h"
#include "kernels/generic/row-scales-inl.h"

namespace st {
namespace {

// How the rows of a type are read.
template <typename W, typename ScalesOfType>
struct CodeRows {
  using Codes = CodesOf<W>;
  using Scales = ScalesOfType;
  static constexpr int kBlockBytes = kBlock * Codes::kBits / 8;

  static int64_t offset(int64_t row, int64_t b, int64_t cols) {
    return (row * (cols / kBlock) + b) * kBlockBytes;
  }
};

// Products of two rows with the words of values 2 i, and of values 2 i + 1.
template <typename Codes>
ST_INLINE void add_codes(Bytes words, Bytes h, WordSum* sums) {
  if constexpr (Codes::kSigned) {
    add_words(sums[0], low_bytes(words), h);
    add_words(sums[1], high_bytes(words), h);
  } else {
    add_words(sums[0], mask_words(words, 0x00FF), h);
    add_words(sums[1], shift_words<8>(words), h);
  }
}

constexpr int64_t kCodeRows = 128;  // rows whose products are held, and that share a scale

static_assert(kCodeRows * 255 * int64_t{16383} <= INT32_MAX);

template <typename T>
struct CodeSums : RowSet<T> {
  using Rows = RowSet<T>;
  using Rows::blocks, Rows::cols, Rows::count, Rows::first, Rows::h, Rows::index, Rows::quants;
  using Rows::w;
  using Codes = typename T::Codes;
  using Scales = typename T::Scales;
  static constexpr int64_t kRows = kCodeRows, kColumns = kCodeColumns;
  static constexpr int kHalves = Scales::kHalves;
  static constexpr int kSpans = kCodeBlocks / kLanes;

  // Of halves of blocks, kLanes blocks in a vector.
  VecF unit[kHalves][kSpans], inverse[kHalves][kSpans];  // the value of 1
  VecI finite[kHalves][kSpans];                          // all bits, or none
  VecI total[kHalves][kSpans];                           // of all products
  VecF mins[kHalves][kSpans];                            // of h with minimums
  VecI words[kHalves][kSpans][kSumPairs];                // products of two rows
  VecI sums[kCodeBlocks / kChains * kSumSlots];
  VecF products[kCodeRows][kHalves][kSpans];
  Fetch<Rows> soon = {this, 0, count, int64_t{blocks} * T::kBlockBytes};

  explicit CodeSums(const Rows& rows) : Rows(rows) {}

  int spans() const { return (blocks + kLanes - 1) / kLanes; }

  ST_INLINE const uint8_t* scales(int64_t i) const {
    return w.scales + index[i] * Scales::bytes(cols / kBlock);
  }

  // Products of h with scales and minimums, and of the largest of the former the value of 1.
  void find_units(bool cached) {
    if (!cached) fetch_scales();
    VecI peak[kHalves][kSpans];
    for_all([&](int half, int s) { peak[half][s] = VecI{}; });
    for_all([&](int half, int s) { mins[half][s] = VecF{}; });
    BlockFloats row = {};
    for (int64_t i = 0; i < count; ++i) {
      Scales::read(scales(i), cols / kBlock, first / kBlock, blocks, row);
      const VecF of_row = splat(h[i]);
      for_all([&](int half, int s) {
        const VecF p = load(row.scale[half] + s * kLanes) * of_row;
        products[i][half][s] = p;
        peak[half][s] = max(peak[half][s], (VecI)p & INT32_MAX);  // as integers: a NaN is largest
        if (!Scales::kHasMins) return;
        mins[half][s] = fma(load(row.min[half] + s * kLanes), of_row, mins[half][s]);
      });
    }
    for_all([&](int half, int s) {
      unit[half][s] = (VecF)peak[half][s] * splat(1 / kSumRange);
      const VecF one_over = splat(1.0f) / unit[half][s];
      inverse[half][s] = one_over <= splat(FLT_MAX) ? one_over : VecF{};
      finite[half][s] = unit[half][s] <= splat(FLT_MAX);  // else it shows in unit
      total[half][s] = VecI{};
    });
  }
  template <typename F>
  ST_INLINE void for_all(const F& f) const {
    for (int half = 0; half < kHalves; ++half) {
      for (int s = 0; s < spans(); ++s) f(half, s);
    }
  }

  // And meanwhile some of the quants.
  void fetch_scales() {
    const int64_t bytes = Scales::bytes(cols / kBlock);
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t at = 0; at < bytes; at += 64) fetch_line(scales(i) + at);
      soon.advance(2);
    }
  }

  // The products of the group that begins at row i, in integers: 1.5 * 2^23 is added, and the low
  // bits are the nearest one.
  void round_products(int64_t i) {
    const auto rounded = [&](int64_t row, int half, int s) {
      if (row >= count) return VecI{};
      return (VecI)(products[row][half][s] * inverse[half][s] + splat(0x1.8p23f));
    };
    for (int pair = 0; pair < kSumPairs; ++pair) {
      for_all([&](int half, int s) {
        const VecI a = rounded(i + 2 * pair, half, s), b = rounded(i + 2 * pair + 1, half, s);
        const VecI two = ((a & 0xFFFF) | b << 16) & finite[half][s];
        words[half][s][pair] = two;
        if (Codes::kOffset != 0) {
          total[half][s] = dot2(total[half][s], (Bytes)two, (Bytes)splat(0x10001));
        }
      });
    }
  }

  // Adds a group to the sums of kChains blocks, or of the last ones.
  ST_INLINE void add_part(const uint8_t* const* rows, int part, bool cached) {
    WordSum group[kSumSlots] = {};
    const int b = part * kChains, s = b / kLanes;
    for (int pair = 0; pair < kSumPairs; ++pair) {
      if (!cached) soon.advance(2 * kChains * T::kBlockBytes / 64 + 1);
      Bytes even[2], odd[2];
      Codes::load(rows[2 * pair], b, blocks, even[0], even[1]);
      Codes::load(rows[2 * pair + 1], b, blocks, odd[0], odd[1]);
      for (int half = 0; half < 2; ++half) {
        const auto* p = reinterpret_cast<const int32_t*>(&words[half % kHalves][s][pair]);
        const auto two = (Bytes)spread(p + b % kLanes, kChains);
        WordSum* to = group + half * kSumSlots / 2;
        add_codes<Codes>(interleave_low_words(even[half], odd[half]), two, to);
        add_codes<Codes>(interleave_high_words(even[half], odd[half]), two, to + 2);
      }
    }
    VecI* to = sums + part * kSumSlots;
    for (int slot = 0; slot < kSumSlots; ++slot) to[slot] += st::total(group[slot]);
  }

  void add_groups(bool cached) {
    const int parts = (blocks + kChains - 1) / kChains;
    for (int p = 0; p < parts * kSumSlots; ++p) sums[p] = VecI{};
    for (int64_t i = 0; i < count; i += 2 * kSumPairs) {
      round_products(i);
      const uint8_t* rows[2 * kSumPairs];
      for (int k = 0; k < 2 * kSumPairs; ++k) rows[k] = quants(i + k);
      for (int part = 0; part < parts; ++part) add_part(rows, part, cached);
    }
  }

  // Adds the sums to y (columns). Slots 2 i and 2 i + 1 are even and odd columns.
  void store_sums(float* y) const {
    for (int part = 0; part * kChains < blocks; ++part) {
      for (int slot = 0; slot < kSumSlots; slot += 2) {
        const int half = slot / 4 % kHalves, s = part * kChains / kLanes;
        const auto of_blocks = [&](const auto& per_block) {
          const auto* p = reinterpret_cast<const int32_t*>(&per_block[half][s]);
          return spread(p + part * kChains % kLanes, kChains);
        };
        const VecI totals = of_blocks(total) * Codes::kOffset;
        const auto units = (VecF)of_blocks(unit);
        const VecI* at = sums + part * kSumSlots + slot;
        VecF even = to_float(at[0] - totals) * units, odd = to_float(at[1] - totals) * units;
        if (Scales::kHasMins) {
          even -= (VecF)of_blocks(mins);
          odd -= (VecF)of_blocks(mins);
        }
        store_slot(part, slot, 0, interleave_low(even, odd), y);
        store_slot(part, slot, 1, interleave_high(even, odd), y);
      }
    }
  }

  // Four lanes are four neighbouring columns.
  ST_INLINE void store_slot(int part, int slot, int upper, VecF v, float* y) const {
    Quad values[kChains];
    __builtin_memcpy(values, &v, sizeof v);
    for (int quad = 0; quad < kChains; ++quad) {
      const int block = part * kChains + quad;
      if (block >= blocks) continue;
      float* to = y + block * kBlock + slot / 4 * 16 + slot / 2 % 2 * 8 + 4 * upper;
      add_quad(values[quad], to);
    }
  }
};

}  // namespace
}  // namespace st
