// Operations on a row of floats: quantising activations, normalisation, ReGLU, SwiGLU, GeGLU, the
// soft cap of logits; and what exp is made of.

#include <cfloat>
#include <cmath>

#include "tensor/blocks.h"

namespace st {
namespace {

VecF max(VecF a, VecF b) { return a > b ? a : b; }
VecI max(VecI a, VecI b) { return a > b ? a : b; }

// Of the bits as integers, negative ones turned round so that they order like the numbers.
float max_lane(VecF v) {
  const VecI bits = (VecI)v;
  const int32_t m = max_lane(bits ^ ((bits >> 31) & INT32_MAX));
  return __builtin_bit_cast(float, m ^ ((m >> 31) & INT32_MAX));
}

// Nearest integer, halves away from zero. Adding the float just below 0.5 keeps 0.49999997 at 0.
VecI round_away(VecF v) {
  const VecI sign = (VecI)v & INT32_MIN;
  return truncate(v + (VecF)((VecI)splat(0x1.fffffep-2f) | sign));
}

void quantize_q8(const float* x, int64_t n, int8_t* q, float* d, int32_t* sums,
                 int32_t* half_sums) {
  constexpr int kVecs = kBlock / kLanes;
  for (int64_t b = 0; b < n / kBlock; ++b, x += kBlock, q += kBlock) {
    VecF xs[kVecs];
    VecI peak = {};
    for (int v = 0; v < kVecs; ++v) {
      xs[v] = load(x + v * kLanes);
      peak = max(peak, (VecI)xs[v] & INT32_MAX);  // as integers: a NaN is the largest
    }
    d[b] = __builtin_bit_cast(float, max_lane(peak)) / 127.0f;
    const float inverse = 1.0f / d[b];
    const bool usable = inverse > 0 && inverse <= FLT_MAX;
    VecI total = {};
    for (int v = 0; v < kVecs; ++v) {
      const VecI rounded = usable ? round_away(xs[v] * splat(inverse)) : VecI{};
      store_i8(q + v * kLanes, rounded);
      total += rounded;
      if (v == kVecs / 2 - 1) half_sums[b] = sum(total);
    }
    sums[b] = sum(total);
  }
}

void rms_norm(const float* x, const float* weight, float eps, int64_t n, float* y) {
  const int64_t whole = n / kLanes * kLanes;
  VecF squares = {};
  for (int64_t i = 0; i < whole; i += kLanes) squares = fma(load(x + i), load(x + i), squares);
  const VecF rest = load(x + whole, n - whole);
  const float mean = sum(fma(rest, rest, squares)) / static_cast<float>(n);
  const VecF scale = splat(static_cast<float>(1.0 / std::sqrt(static_cast<double>(mean + eps))));
  if (weight == nullptr) {
    for (int64_t i = 0; i < whole; i += kLanes) store(y + i, load(x + i) * scale);
    return store(y + whole, rest * scale, n - whole);
  }
  for (int64_t i = 0; i < whole; i += kLanes) {
    store(y + i, load(weight + i) * (load(x + i) * scale));
  }
  store(y + whole, load(weight + whole, n - whole) * (rest * scale), n - whole);
}

int64_t relu(float* x, int64_t n) {
  VecI on = {};
  const auto positive = [&on](VecF v) {
    const VecI off = v <= VecF{};
    on += off + 1;
    return off ? VecF{} : v;
  };
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) store(x + i, positive(load(x + i)));
  store(x + whole, positive(load(x + whole, n - whole)), n - whole);
  return sum(on);
}

void multiply_active(float* h, const float* up, int64_t n) {
  const auto product = [](VecF v, VecF by) { return v == VecF{} ? VecF{} : v * by; };
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) store(h + i, product(load(h + i), load(up + i)));
  store(h + whole, product(load(h + whole, n - whole), load(up + whole, n - whole)), n - whole);
}

// exp(x) for x <= 0 within 2 ulp; 0 where the result would be subnormal, and for -infinity.
// x = n ln 2 + r with |r| <= ln 2 / 2: exp(x) = 2^n (1 + r + r^2 / 2! + ... + r^7 / 7!).
VecF exp_nonpositive(VecF x) {
  const VecF shifted = fma(x, splat(0x1.715476p+0f), splat(0x1.8p23f));  // n in the low bits
  const VecF n = shifted - 0x1.8p23f;
  VecF r = fma(n, splat(-0x1.62e4p-1f), x);  // ln 2 in two parts; n times the first is exact
  r = fma(n, splat(-0x1.7f7d1cp-20f), r);
  VecF p = splat(1.0f / 5040);
  p = fma(p, r, splat(1.0f / 720));
  p = fma(p, r, splat(1.0f / 120));
  p = fma(p, r, splat(1.0f / 24));
  p = fma(p, r, splat(1.0f / 6));
  p = fma(p, r, splat(0.5f));
  p = fma(p, r, splat(1.0f));
  p = fma(p, r, splat(1.0f));
  const VecF power = (VecF)(((VecI)shifted + 127) << 23);
  return x < splat(-0x1.5d58ap+6f) ? VecF{} : p * power;  // below -126 ln 2
}

VecF minus_abs(VecF x) { return (VecF)((VecI)x | INT32_MIN); }

// x / (1 + exp(-z)), z of the sign of x, by exp(-|z|): no power overflows.
VecF times_sigmoid(VecF x, VecF z) {
  const VecF power = exp_nonpositive(minus_abs(z));
  return (z > VecF{} ? x : x * power) / (splat(1.0f) + power);
}

VecF silu(VecF x) { return times_sigmoid(x, x); }

// x / 2 (1 + tanh(z / 2)) is x / (1 + exp(-z)); z = 2 sqrt(2 / pi) (x + 0.044715 x^3).
VecF gelu(VecF x) {
  return times_sigmoid(x, x * fma(x * x, splat(0.071354816f), splat(1.5957691f)));
}

// Near 0, where 1 - exp(-2 |x|) has few digits, by the first terms of the series.
VecF tanh(VecF x) {
  const VecF square = x * x;
  VecF p = splat(62.0f / 2835);
  p = fma(p, square, splat(-17.0f / 315));
  p = fma(p, square, splat(2.0f / 15));
  p = fma(p, square, splat(-1.0f / 3));
  const VecF series = fma(x * square, p, x);
  const VecF power = exp_nonpositive(minus_abs(x + x));
  const VecF far = (splat(1.0f) - power) / (splat(1.0f) + power);
  const VecF signed_far = (VecF)((VecI)far | ((VecI)x & INT32_MIN));
  return square < splat(1.0f / 16) ? series : signed_far;
}

void silu_multiply(float* gate, const float* up, int64_t n) {
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) store(gate + i, silu(load(gate + i)) * load(up + i));
  const int64_t rest = n - whole;
  store(gate + whole, silu(load(gate + whole, rest)) * load(up + whole, rest), rest);
}

void gelu_multiply(float* gate, const float* up, int64_t n) {
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) store(gate + i, gelu(load(gate + i)) * load(up + i));
  const int64_t rest = n - whole;
  store(gate + whole, gelu(load(gate + whole, rest)) * load(up + whole, rest), rest);
}

int64_t gelu_above(float* x, float cutoff, int64_t n) {
  VecI on = {};
  const auto above = [&](VecF v) {
    v -= splat(cutoff);
    const VecI off = v <= VecF{};
    on += off + 1;
    return off ? VecF{} : gelu(v);
  };
  const int64_t whole = n / kLanes * kLanes, rest = n - whole;
  for (int64_t i = 0; i < whole; i += kLanes) store(x + i, above(load(x + i)));
  store(x + whole, above(load(x + whole, rest, splat(cutoff))), rest);
  return sum(on);
}

void soft_cap(float* x, float cap, int64_t n) {
  const auto capped = [cap](VecF v) { return splat(cap) * tanh(v / splat(cap)); };
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) store(x + i, capped(load(x + i)));
  store(x + whole, capped(load(x + whole, n - whole)), n - whole);
}

}  // namespace
}  // namespace st
