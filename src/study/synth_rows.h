// Rows of made-up weights, in blocks of 32 whatever their type.
//
// The bits come from a counter: a block depends on its key and its place alone, so rows can be made
// in any order, on any number of threads, and twice the same where two tensors must agree. Only
// exactly rounded arithmetic is used, so the bytes are the same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tensor/dtype.h"

namespace st {

// The normal distribution in plain arithmetic: unlike the functions of a C library, the same bits
// on every machine.
double normal_density(double x);
double normal_cdf(double x);       // share below x
double normal_quantile(double p);  // inverse of normal_cdf. REQUIRES: 1e-6 <= p <= 1 - 1e-6
// E[max(0, g)^2] for g normal with mean -t and deviation 1.
double rectified_square(double t);

// A well mixed 64-bit value for each pair.
uint64_t mix_bits(uint64_t key, uint64_t counter);
// In [0, 1), from the high bits.
double unit_interval(uint64_t bits);
// Nearly normal, of mean 0 and deviation 1: one of 16 equally likely quantiles.
double normal_deviate(uint64_t bits);

// A run of whole blocks of a row: either random, or `value` at the columns in `mask`.
struct Stretch {
  int64_t blocks = 0;
  float deviation = 0;  // of random weights; 0: `value` and `mask` hold
  float value = 0;
  uint32_t mask = 0;        // bit i: column i of every block is `value`, the others are 0
  int64_t first_block = 0;  // random: counter of the first block

  static Stretch random(int64_t blocks, double deviation, int64_t first_block) {
    return {blocks, static_cast<float>(deviation), 0, 0, first_block};
  }
  static Stretch constant(int64_t blocks, double value, uint32_t mask = ~uint32_t{0}) {
    return {blocks, 0, static_cast<float>(value), mask, 0};
  }
  static Stretch zeros(int64_t blocks) { return constant(blocks, 0, 0); }
};
using Row = std::vector<Stretch>;

// Types that rows can be made in.
bool can_fill(DType type);

// Writes the blocks of `row` to `out`; returns the end. REQUIRES: can_fill(type).
std::byte* fill_row(DType type, uint64_t key, const Row& row, std::byte* out);

}  // namespace st
