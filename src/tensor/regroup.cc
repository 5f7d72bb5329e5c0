#include "tensor/regroup.h"

#include <cstring>

#include "tensor/bytes16.h"
#include "tensor/layout.h"

namespace st {
namespace {

constexpr int64_t kScaleBytes = 2;  // of a block

int64_t quant_bytes(DType type) { return int64_t{dtype_info(type).block_bytes} - kScaleBytes; }

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

// Outputs c .. c + 32 and neurons 32 b .. 32 b + 32.
void regroup_q4_0(const std::byte* matrix, int64_t D, int64_t F, int64_t c, int64_t b, uint8_t* q) {
  const auto* w = reinterpret_cast<const BlockQ4_0*>(matrix);
  const int64_t blocks = F / kBlock;
  Bytes16 first[16], second[16];  // outputs c .. c + 16 and c + 16 .. c + 32
  for (int i = 0; i < 16; ++i) {
    first[i] = load(w[(c + i) * blocks + b].qs);
    second[i] = load(w[(c + 16 + i) * blocks + b].qs);
  }
  transpose(first);
  transpose(second);
  for (int64_t j = 0; j < 16; ++j) {
    uint8_t* out = q + (b * kBlock + j) * (D / 2) + c / 2;
    store(out, (first[j] & 15) | (second[j] << 4));
    store(out + 16 * (D / 2), (first[j] >> 4) | (second[j] & 0xF0));
  }
}

void regroup_q8_0(const std::byte* matrix, int64_t D, int64_t F, int64_t c, int64_t b, uint8_t* q) {
  const auto* w = reinterpret_cast<const BlockQ8_0*>(matrix);
  const int64_t blocks = F / kBlock;
  for (int64_t half = 0; half < 2; ++half) {
    for (int64_t quarter = 0; quarter < 2; ++quarter) {
      Bytes16 rows[16];
      for (int i = 0; i < 16; ++i) {
        const BlockQ8_0& block = w[(c + 16 * half + i) * blocks + b];
        rows[i] = load(reinterpret_cast<const uint8_t*>(block.qs) + 16 * quarter);
      }
      transpose(rows);
      for (int64_t j = 0; j < 16; ++j) {
        store(q + (b * kBlock + 16 * quarter + j) * D + c + 16 * half, rows[j]);
      }
    }
  }
}

// Sums are held in groups of four outputs; `slot` of them make a vector, see sum-rows-inl.h.
int64_t column_place_at(int64_t slot, int64_t quad, int64_t in_tile) {
  return slot * 16 + quad * 4 + in_tile % 4;
}
int64_t column_place_q4_0(int64_t in_tile) {
  return column_place_at(in_tile % 32 / 4, in_tile / 32, in_tile);
}
int64_t column_place_q8_0(int64_t in_tile) {
  return column_place_at(in_tile / 64 * 4 + in_tile % 16 / 4, in_tile / 16 % 4, in_tile);
}

const Regrouping& regrouping_of(DType type) { return *dtype_info(type).split->regrouping; }

}  // namespace

const Regrouping kRegroupQ4_0 = {regroup_q4_0, column_place_q4_0};
const Regrouping kRegroupQ8_0 = {regroup_q8_0, column_place_q8_0};

bool can_regroup(DType type, int64_t D, int64_t F) {
  return is_split(type) && dtype_info(type).split->regrouping != nullptr && D % kBlock == 0 &&
         F % kBlock == 0;
}

uint64_t neuron_rows_bytes(DType type, int64_t D, int64_t F) {
  return static_cast<uint64_t>(F * D / kBlock * quant_bytes(type) +
                               F / kBlock * padded_columns(D) * kScaleBytes);
}

NeuronRows neuron_rows(const Matrix& m) {
  const int64_t quants = m.rows * m.cols / kBlock * quant_bytes(m.type);
  return {reinterpret_cast<const uint8_t*>(m.data),
          reinterpret_cast<const uint16_t*>(m.data + quants)};
}

int64_t column_place(DType type, int64_t c) {
  const int64_t in_tile = c % kColumnTile;
  return c - in_tile + regrouping_of(type).column_place(in_tile);
}

void regroup_by_neuron(DType type, const std::byte* blocks, int64_t D, int64_t F, std::byte* out) {
  auto* q = reinterpret_cast<uint8_t*>(out);
  auto* d = reinterpret_cast<uint16_t*>(out + F * D / kBlock * quant_bytes(type));
  const Regrouping& regrouping = regrouping_of(type);
  const int64_t row_blocks = F / kBlock;
  const int64_t padded = padded_columns(D);
  const int64_t block_bytes = dtype_info(type).block_bytes;
  std::memset(d, 0, static_cast<size_t>(row_blocks * padded) * kScaleBytes);
  for (int64_t c = 0; c < D; c += kBlock) {
    int64_t places[kBlock];
    for (int64_t i = 0; i < kBlock; ++i) places[i] = column_place(type, c + i);
    for (int64_t b = 0; b < row_blocks; ++b) {
      regrouping.regroup(blocks, D, F, c, b, q);
      for (int64_t i = 0; i < kBlock; ++i) {
        std::memcpy(d + b * padded + places[i], blocks + ((c + i) * row_blocks + b) * block_bytes,
                    kScaleBytes);
      }
    }
  }
}

}  // namespace st
