#include "tensor/regroup.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "tensor/bytes16.h"
#include "tensor/float16.h"
#include "tensor/layout.h"
#include "tensor/plane_codes.h"
#include "tensor/planes.h"
#include "tensor/sub_scales.h"

namespace st {
namespace {

// Transposes 16 rows of 16 bytes. Four times, row i and row i + 8 are interleaved.
void transpose(Bytes16 (&rows)[16]) {
  for (int pass = 0; pass < 4; ++pass) {
    Bytes16 next[16];
    for (int i = 0; i < 8; ++i) {
      const Bytes16 a = rows[i], b = rows[i + 8];
      next[2 * i] =
          __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      next[2 * i + 1] = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29,
                                                14, 30, 15, 31);
    }
    for (int i = 0; i < 16; ++i) rows[i] = next[i];
  }
}

// ---- Quants ----

using Part = Regrouping::Part;

void regroup_nibbles(Part p, uint8_t* q) {
  for (int64_t c = 0; c < p.n; c += kBlock) {
    Bytes16 first[16], second[16];  // outputs c .. c + 16 and c + 16 .. c + 32
    for (int i = 0; i < 16; ++i) {
      first[i] = load(p.from + (c + i) * p.step);
      second[i] = load(p.from + (c + 16 + i) * p.step);
    }
    transpose(first);
    transpose(second);
    for (int64_t j = 0; j < 16; ++j) {
      uint8_t* out = q + (p.b * kBlock + j) * (p.D / 2) + (p.c + c) / 2;
      store(out, (first[j] & 15) | (second[j] << 4));
      store(out + 16 * (p.D / 2), (first[j] >> 4) | (second[j] & 0xF0));
    }
  }
}

// Columns of 16 rows of 32 bytes become rows, `to` bytes apart.
void transpose_bytes(const uint8_t* from, int64_t step, uint8_t* out, int64_t to) {
  for (int64_t half = 0; half < 2; ++half) {
    Bytes16 rows[16];
    for (int i = 0; i < 16; ++i) rows[i] = load(from + i * step + 16 * half);
    transpose(rows);
    for (int64_t j = 0; j < 16; ++j) store(out + (16 * half + j) * to, rows[j]);
  }
}

void regroup_bytes(Part p, uint8_t* q) {
  for (int64_t c = 0; c < p.n; c += 16) {
    transpose_bytes(p.from + c * p.step, p.step, q + p.b * kBlock * p.D + p.c + c, p.D);
  }
}

// Chunk by chunk: as bytes to the other order, and back to planes.
template <Planes kPlanes>
void regroup_planes(Part p, uint8_t* q) {
  uint8_t by_output[kColumnTile][kBlock], by_neuron[kBlock][kColumnTile];
  for (int64_t i = 0; i < p.n; ++i) {
    read_codes<kPlanes>(p.from + i * p.step, p.b, p.F / kBlock, by_output[i]);
  }
  for (int64_t c = 0; c < p.n; c += 16) {
    transpose_bytes(by_output[c], kBlock, by_neuron[0] + c, kColumnTile);
  }
  const int64_t row = p.D * kPlanes.bits() / 8;
  uint8_t* out = q + p.b * kBlock * row + p.c * kPlanes.bits() / 8;
  for (int64_t j = 0; j < kBlock; ++j) {
    write_codes<kPlanes>(by_neuron[j], static_cast<int>(p.n / kBlock), out + j * row);
  }
}

// ---- Scales ----

// The scales of a block in a file, or of a super-block.
struct BlockScales {
  uint16_t d = 0, m = 0;
  uint8_t sub[16] = {}, sub_mins[8] = {};
};

template <typename Block>
void d_of(const Block& block, BlockScales& out) {
  out.d = block.d;
}
template <typename Block>
void d_m_of(const Block& block, BlockScales& out) {
  out.d = block.d;
  out.m = block.m;
}
void exponent_of(const BlockMXFP4& block, BlockScales& out) { out.sub[0] = block.e; }

template <typename Block>  // Q4_K or Q5_K
void six_bits_of(const Block& block, BlockScales& out) {
  out.d = block.d;
  out.m = block.dmin;
  for (int k = 0; k < kSuperBlock / kBlock; ++k) {
    const SubScale sub = sub_scale_q4_k(block.scales, k);
    out.sub[k] = static_cast<uint8_t>(sub.scale);
    out.sub_mins[k] = static_cast<uint8_t>(sub.min);
  }
}
void scales_q2_k(const BlockQ2_K& block, BlockScales& out) {
  out.d = block.d;
  out.m = block.dmin;
  std::copy_n(block.scales, 16, out.sub);
}
void scales_q3_k(const BlockQ3_K& block, BlockScales& out) {
  out.d = block.d;
  for (int k = 0; k < 16; ++k) {
    out.sub[k] = static_cast<uint8_t>(sub_scale_q3_k(block.scales, k));
  }
}
void scales_q6_k(const BlockQ6_K& block, BlockScales& out) {
  out.d = block.d;
  std::memcpy(out.sub, block.scales, 16);
}
void scales_iq4_xs(const BlockIQ4_XS& block, BlockScales& out) {
  out.d = block.d;
  for (int k = 0; k < kSuperBlock / kBlock; ++k) {
    out.sub[k] = static_cast<uint8_t>(sub_scale_iq4_xs(block.scales_h, block.scales_l, k));
  }
}

// ---- Places ----

const Regrouping& regrouping_of(DType type) { return *dtype_info(type).split->regrouping; }

// Sums are held in groups of four outputs; `slot` of them make a vector, see sum-columns-inl.h.
int64_t place_in_tile(DType type, int64_t c) {
  const auto at = [c](int64_t slot, int64_t quad) { return slot * 16 + quad * 4 + c % 4; };
  if (dtype_info(type).split->bits == 8) return at(c / 64 * 4 + c % 16 / 4, c / 16 % 4);
  return at(c % 32 / 4, c / 32);
}

}  // namespace

// Where the scales of a regrouped matrix are, behind its quants.
struct ScalePlaces {
  int64_t d, m, sub, sub_mins, end;
  int64_t padded;  // columns

  ScalePlaces(DType type, int64_t D, int64_t F) : padded(padded_columns(D)) {
    const Regrouping& r = regrouping_of(type);
    const int64_t halves = F / dtype_info(type).block_values * padded * 2;
    const int64_t subs = r.sub == SubScales::kNone ? 0 : F / r.sub_values * padded;
    d = F * dtype_info(type).split->quant_bytes(D);
    m = d + (r.sub == SubScales::kExponents ? 0 : halves);
    sub = m + (r.has_m ? halves : 0);
    sub_mins = sub + subs;
    end = sub_mins + (r.sub == SubScales::kWithMins ? subs : 0);
  }
};

namespace {

// Those of an output, which `read` finds in each of its blocks, n of them at `row`; n_sub: scales
// within one.
template <typename Block, auto read, SubScales kSub, int64_t n_sub, bool has_m>
void put_scales(const std::byte* row, int64_t n, int64_t place, const ScalePlaces& places,
                uint8_t* out) {
  const ScalePlaces at = places;
  for (int64_t i = 0; i < n; ++i) {
    Block block;
    std::memcpy(&block, row + i * int64_t{sizeof block}, sizeof block);
    BlockScales scales;
    read(block, scales);
    const int64_t half = (i * at.padded + place) * 2;
    if (kSub != SubScales::kExponents) std::memcpy(out + at.d + half, &scales.d, 2);
    if (has_m) std::memcpy(out + at.m + half, &scales.m, 2);
    for (int64_t k = 0; k < n_sub; ++k) {
      const int64_t to = (i * n_sub + k) * at.padded + place;
      out[at.sub + to] = scales.sub[k];
      if (kSub == SubScales::kWithMins) out[at.sub_mins + to] = scales.sub_mins[k];
    }
  }
}

using RegroupQuants = void (*)(Part part, uint8_t* q);

// Blocks of 32 with a scale, and maybe a minimum, of their own.
template <typename Block, auto read, bool has_m = false>
constexpr Regrouping of_blocks(int64_t quants_at, RegroupQuants quants) {
  return {SubScales::kNone, 0,     has_m, put_scales<Block, read, SubScales::kNone, 0, has_m>,
          quants_at,        quants};
}
template <typename Block, auto read, SubScales kSub, int64_t sub_values>
constexpr Regrouping of_super_blocks(RegroupQuants quants) {
  constexpr bool kHasM = kSub == SubScales::kWithMins || kSub == SubScales::kPacked;
  return {kSub, sub_values, kHasM, put_scales<Block, read, kSub, kSuperBlock / sub_values, kHasM>,
          -1,   quants};
}

}  // namespace

const Regrouping kRegroupQ4_0 =
    of_blocks<BlockQ4_0, d_of<BlockQ4_0>>(offsetof(BlockQ4_0, qs), regroup_nibbles);
const Regrouping kRegroupQ4_1 =
    of_blocks<BlockQ4_1, d_m_of<BlockQ4_1>, true>(offsetof(BlockQ4_1, qs), regroup_nibbles);
const Regrouping kRegroupQ5_0 =
    of_blocks<BlockQ5_0, d_of<BlockQ5_0>>(-1, regroup_planes<kNibblesAndSingles>);
const Regrouping kRegroupQ5_1 =
    of_blocks<BlockQ5_1, d_m_of<BlockQ5_1>, true>(-1, regroup_planes<kNibblesAndSingles>);
const Regrouping kRegroupQ8_0 =
    of_blocks<BlockQ8_0, d_of<BlockQ8_0>>(offsetof(BlockQ8_0, qs), regroup_bytes);
const Regrouping kRegroupIQ4_NL =
    of_blocks<BlockIQ4_NL, d_of<BlockIQ4_NL>>(offsetof(BlockIQ4_NL, qs), regroup_nibbles);
const Regrouping kRegroupMXFP4 = {
    SubScales::kExponents,
    kBlock,
    false,
    put_scales<BlockMXFP4, exponent_of, SubScales::kExponents, 1, false>,
    offsetof(BlockMXFP4, qs),
    regroup_nibbles};
const Regrouping kRegroupQ2_K =
    of_super_blocks<BlockQ2_K, scales_q2_k, SubScales::kPacked, 16>(regroup_planes<kPairs>);
const Regrouping kRegroupQ3_K = of_super_blocks<BlockQ3_K, scales_q3_k, SubScales::kSigned, 16>(
    regroup_planes<kPairsAndSingles>);
const Regrouping kRegroupQ4_K =
    of_super_blocks<BlockQ4_K, six_bits_of<BlockQ4_K>, SubScales::kWithMins, kBlock>(
        regroup_nibbles);
const Regrouping kRegroupQ5_K =
    of_super_blocks<BlockQ5_K, six_bits_of<BlockQ5_K>, SubScales::kWithMins, kBlock>(
        regroup_planes<kNibblesAndSingles>);
const Regrouping kRegroupQ6_K = of_super_blocks<BlockQ6_K, scales_q6_k, SubScales::kSigned, 16>(
    regroup_planes<kNibblesAndPairs>);
const Regrouping kRegroupIQ4_XS =
    of_super_blocks<BlockIQ4_XS, scales_iq4_xs, SubScales::kSigned, kBlock>(regroup_nibbles);

// Two bits of two blocks share their bytes, so rows of such planes end with a chunk.
bool can_regroup(DType type, int64_t D, int64_t F) {
  const SplitLayout* split = dtype_info(type).split;
  if (split == nullptr || split->regrouping == nullptr) return false;
  const bool pairs = split->bits == kPairs.bits() || split->bits == kPairsAndSingles.bits() ||
                     split->bits == kNibblesAndPairs.bits();
  return D % (pairs ? kChunkBlocks * kBlock : kBlock) == 0 &&
         F % dtype_info(type).block_values == 0;
}

uint64_t neuron_rows_bytes(DType type, int64_t D, int64_t F) {
  return static_cast<uint64_t>(ScalePlaces(type, D, F).end);
}

NeuronRows neuron_rows(const Matrix& m) {
  const ScalePlaces at(m.type, m.cols, m.rows);
  const auto* q = reinterpret_cast<const uint8_t*>(m.data);
  return {q, reinterpret_cast<const uint16_t*>(q + at.d),
          reinterpret_cast<const uint16_t*>(q + at.m), q + at.sub, q + at.sub_mins};
}

bool neuron_scales_are_finite(const Matrix& m) {
  const ScalePlaces at(m.type, m.cols, m.rows);
  const auto* bytes = reinterpret_cast<const uint8_t*>(m.data);
  if (regrouping_of(m.type).sub == SubScales::kExponents) {
    return std::memchr(bytes + at.sub, kE8M0NaN, static_cast<size_t>(at.sub_mins - at.sub)) ==
           nullptr;
  }
  return halves_are_finite(bytes + at.d, (at.sub - at.d) / 2);
}

ScaleAndMin neuron_scale(DType type, const NeuronRows& rows, int64_t j, int64_t c, int64_t D) {
  const Regrouping& r = regrouping_of(type);
  const int64_t padded = padded_columns(D), place = column_place(type, c);
  const int64_t half = j / dtype_info(type).block_values * padded + place;
  const int64_t at = r.sub == SubScales::kNone ? 0 : j / r.sub_values * padded + place;
  const float m = r.has_m ? f16_to_f32(rows.m[half]) : 0.0f;
  if (r.sub == SubScales::kExponents) return {half_e8m0_to_f32(rows.sub[at]), 0};
  const float d = f16_to_f32(rows.d[half]);
  switch (r.sub) {
    case SubScales::kSigned:
      return {d * static_cast<float>(static_cast<int8_t>(rows.sub[at])), 0};
    case SubScales::kWithMins:
      return {d * static_cast<float>(rows.sub[at]), m * static_cast<float>(rows.sub_mins[at])};
    case SubScales::kPacked:
      return {d * static_cast<float>(rows.sub[at] & 15), m * static_cast<float>(rows.sub[at] >> 4)};
    default:
      return {d, -m};
  }
}

int64_t column_place(DType type, int64_t c) {
  const int64_t in_tile = c % kColumnTile;
  return c - in_tile + place_in_tile(type, in_tile);
}

void regroup_by_neuron(DType type, const std::byte* blocks, int64_t D, int64_t F, std::byte* out) {
  const DTypeInfo& info = dtype_info(type);
  const Regrouping& r = regrouping_of(type);
  const ScalePlaces at(type, D, F);
  const auto row = static_cast<int64_t>(row_bytes(info, static_cast<uint64_t>(F)));
  const int64_t quants = info.split->quant_bytes(F);
  auto* q = reinterpret_cast<uint8_t*>(out);
  std::memset(q + at.d, 0, static_cast<size_t>(at.end - at.d));
  thread_local std::vector<uint8_t> split;  // quants of a tile, then scales that are not used
  if (r.quants_at < 0) split.resize(static_cast<size_t>(kColumnTile * quants + row - quants));
  for (int64_t c = 0; c < D; c += kColumnTile) {
    const int64_t n = std::min(kColumnTile, D - c);
    const std::byte* tile = blocks + c * row;
    for (int64_t i = 0; i < n; ++i) {
      r.put_scales(tile + i * row, F / info.block_values, column_place(type, c + i), at, q);
      if (r.quants_at >= 0) continue;
      info.split->split_row(tile + i * row, F, split.data() + i * quants,
                            split.data() + kColumnTile * quants);
    }
    for (int64_t b = 0; b < F / kBlock; ++b) {
      Part part = {.from = split.data(), .step = quants, .D = D, .F = F, .c = c, .n = n, .b = b};
      if (r.quants_at >= 0) {
        part.from = reinterpret_cast<const uint8_t*>(tile) + b * info.block_bytes + r.quants_at;
        part.step = row;
      } else if (r.quants == regroup_nibbles) {
        part.from += b * kBlock / 2;
      }
      r.quants(part, q);
    }
  }
}

}  // namespace st
