// Plain loops for any CPU: the text to read first, and what the other tables are measured against.
#include <cfloat>
#include <cmath>

#include "kernels/generic/find-nonzero-inl.h"
#include "kernels/isa/scalar-attention-inl.h"
#include "kernels/isa/tables.h"
#include "tensor/blocks.h"
#include "tensor/float16.h"
#include "tensor/layout.h"

namespace st {
namespace {

constexpr double kGeluSlope = 1.5957691216057308;  // 2 sqrt(2 / pi)

float from_f32(float w) { return w; }

// decode(w[i]) is weight i as a float.
template <auto decode, typename Value>
void gemm_float(const std::byte* weights, int64_t rows, const float* x, int64_t tokens,
                int64_t cols, float* y, int64_t y_stride) {
  const auto* w = reinterpret_cast<const Value*>(weights);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t t = 0; t < tokens; ++t) {
      double sum = 0;
      for (int64_t c = 0; c < cols; ++c) sum += double{decode(w[r * cols + c])} * x[t * cols + c];
      y[t * y_stride + r] = static_cast<float>(sum);
    }
  }
}

// Weight c of row r without its scale.
int q8_0(const QuantRows& w, int64_t r, int64_t c, int64_t cols) {
  return static_cast<int8_t>(w.q[r * cols + c]);
}
float scale_of(const QuantRows& w, int64_t block) {
  return f16_to_f32(reinterpret_cast<const uint16_t*>(w.scales)[block]);
}
int q4_0(const QuantRows& w, int64_t r, int64_t c, int64_t cols) {
  const int64_t i = c % kBlock;
  const int pair = w.q[(r * cols + c - i) / 2 + i % (kBlock / 2)];
  return (i < kBlock / 2 ? pair & 15 : pair >> 4) - 8;
}

template <DType type>
void gemv_block(const QuantRows& w, const int32_t* index, int64_t rows, const Q8Rows& x,
                int64_t tokens, int64_t cols, float* y, int64_t y_stride) {
  const SplitLayout& layout = *dtype_info(type).split;
  const int64_t blocks = cols / kBlock, quants = layout.quant_bytes(cols);
  const int64_t scales =
      static_cast<int64_t>(row_bytes(type, static_cast<uint64_t>(cols))) - quants;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t r = index == nullptr ? i : index[i];
    for (int64_t t = 0; t < tokens; ++t) {
      double sum = 0;
      for (int64_t b = 0; b < blocks; ++b) {
        DecodedBlock block;
        layout.read({w.q + r * quants, w.scales + r * scales, b, blocks}, block);
        const int64_t at = t * blocks + b;
        int dots[2] = {};
        for (int c = 0; c < kBlock; ++c) {
          dots[c / (kBlock / 2)] += block.code[c] * x.q[at * kBlock + c];
        }
        const int sums[2] = {x.half_sum[at], x.sum[at] - x.half_sum[at]};
        double of_block = 0;
        for (int half = 0; half < 2; ++half) {
          of_block +=
              double{block.scale[half]} * dots[half] + double{block.base[half]} * sums[half];
        }
        sum += of_block * x.d[at];
      }
      y[t * y_stride + i] = static_cast<float>(sum);
    }
  }
}

template <auto quant>
void sum_rows_block(const QuantRows& w, const int32_t* index, const float* h, int64_t count,
                    int64_t cols, int64_t begin, int64_t end, bool /*cached*/, float* y) {
  for (int64_t c = begin; c < end; ++c) {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) {
      const float d = scale_of(w, (index[i] * cols + c) / kBlock);
      sum += double{h[i]} * d * quant(w, index[i], c, cols);
    }
    y[c] = static_cast<float>(sum);
  }
}

// Whether neuron j adds anything; what is no number shows.
bool is_active(const Q8Rows& h, int64_t j) {
  return h.q[j] != 0 || !std::isfinite(h.d[j / kBlock]);
}

template <DType type, auto quant>
void sum_columns_block(const NeuronRows& w, int64_t neurons, const Q8Rows& h, int64_t tokens,
                       int64_t cols, int64_t begin, int64_t end, float* y, int64_t y_stride) {
  for (int64_t t = 0; t < tokens; ++t, y += y_stride) {
    const Q8Rows x = h.rows_from(t, neurons);
    for (int64_t c = begin; c < end; ++c) {
      const uint16_t* scales = w.d + column_place(type, c);
      double sum = 0;
      for (int64_t j = 0; j < neurons; ++j) {
        if (!is_active(x, j)) continue;
        const int64_t b = j / kBlock;
        const float scale = f16_to_f32(scales[b * padded_columns(cols)]);
        sum += double{scale} * x.d[b] * x.q[j] * quant({w.q, nullptr}, j, c, cols);
      }
      y[c] = static_cast<float>(sum);
    }
  }
}

// The same two for all other quantised types, as their layouts say.
template <DType type>
void sum_rows_split(const QuantRows& w, const int32_t* index, const float* h, int64_t count,
                    int64_t cols, int64_t begin, int64_t end, bool /*cached*/, float* y) {
  const SplitLayout& split = *dtype_info(type).split;
  const int64_t blocks = cols / kBlock, quants = split.quant_bytes(cols);
  const auto row = static_cast<int64_t>(row_bytes(type, static_cast<uint64_t>(cols)));
  for (int64_t b = begin / kBlock; b < end / kBlock; ++b) {
    double sums[kBlock] = {};
    for (int64_t i = 0; i < count; ++i) {
      DecodedBlock block;
      split.read({w.q + index[i] * quants, w.scales + index[i] * (row - quants), b, blocks}, block);
      for (int64_t k = 0; k < kBlock; ++k) {
        const int half = k < kBlock / 2 ? 0 : 1;
        sums[k] += h[i] * (double{block.scale[half]} * block.code[k] + block.base[half]);
      }
    }
    for (int64_t k = 0; k < kBlock; ++k) y[b * kBlock + k] = static_cast<float>(sums[k]);
  }
}

template <DType type>
void sum_columns_split(const NeuronRows& w, int64_t neurons, const Q8Rows& h, int64_t tokens,
                       int64_t cols, int64_t begin, int64_t end, float* y, int64_t y_stride) {
  const SplitLayout& split = *dtype_info(type).split;
  for (int64_t t = 0; t < tokens; ++t, y += y_stride) {
    const Q8Rows x = h.rows_from(t, neurons);
    for (int64_t b = begin / kBlock; b < end / kBlock; ++b) {
      double sums[kBlock] = {};
      for (int64_t j = 0; j < neurons; ++j) {
        if (!is_active(x, j)) continue;
        DecodedBlock block;
        split.read_codes({w.q + j * split.quant_bytes(cols), nullptr, b, cols / kBlock}, block);
        for (int64_t k = 0; k < kBlock; ++k) {
          const auto [scale, min] = neuron_scale(type, w, j, b * kBlock + k, cols);
          sums[k] += double{x.d[j / kBlock]} * x.q[j] * (double{scale} * block.code[k] - min);
        }
      }
      for (int64_t k = 0; k < kBlock; ++k) y[b * kBlock + k] = static_cast<float>(sums[k]);
    }
  }
}

template <auto decode, typename Value>
void axpy_float(float a, const std::byte* weights, int64_t n, float* y) {
  const auto* w = reinterpret_cast<const Value*>(weights);
  for (int64_t i = 0; i < n; ++i) y[i] += a * decode(w[i]);
}

void axpy(float a, const float* x, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += a * x[i];
}

// The bits of |v|; as integers they order like the magnitudes, and a NaN is the largest.
uint32_t magnitude(float v) { return __builtin_bit_cast(uint32_t, v) & 0x7FFFFFFF; }

void quantize_q8(const float* x, int64_t n, int8_t* q, float* d, int32_t* sums,
                 int32_t* half_sums) {
  for (int64_t b = 0; b < n / kBlock; ++b, x += kBlock, q += kBlock) {
    uint32_t peak = 0;
    for (int i = 0; i < kBlock; ++i) peak = magnitude(x[i]) > peak ? magnitude(x[i]) : peak;
    d[b] = __builtin_bit_cast(float, peak) / 127.0f;
    const float inverse = 1.0f / d[b];
    const bool usable = inverse > 0 && inverse <= FLT_MAX;
    sums[b] = half_sums[b] = 0;
    for (int i = 0; i < kBlock; ++i) {
      q[i] = usable ? static_cast<int8_t>(std::roundf(x[i] * inverse)) : int8_t{0};
      sums[b] += q[i];
      if (i < kBlock / 2) half_sums[b] += q[i];
    }
  }
}

void rms_norm(const float* x, const float* weight, float eps, int64_t n, float* y) {
  double squares = 0;
  for (int64_t i = 0; i < n; ++i) squares += double{x[i]} * x[i];
  const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + eps);
  for (int64_t i = 0; i < n; ++i) {
    y[i] = (weight == nullptr ? 1 : weight[i]) * static_cast<float>(x[i] * scale);
  }
}

int64_t relu(float* x, int64_t n) {
  int64_t on = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (x[i] <= 0) x[i] = 0;
    on += x[i] != 0;
  }
  return on;
}

void multiply_active(float* h, const float* up, int64_t n) {
  for (int64_t i = 0; i < n; ++i) h[i] = h[i] == 0 ? 0 : h[i] * up[i];
}

void silu_multiply(float* gate, const float* up, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    gate[i] = static_cast<float>(gate[i] / (1 + std::exp(-double{gate[i]}))) * up[i];
  }
}

double gelu(double x) { return x / (1 + std::exp(-kGeluSlope * (x + 0.044715 * x * x * x))); }

void gelu_multiply(float* gate, const float* up, int64_t n) {
  for (int64_t i = 0; i < n; ++i) gate[i] = static_cast<float>(gelu(gate[i])) * up[i];
}

int64_t gelu_above(float* x, float cutoff, int64_t n) {
  int64_t on = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float above = x[i] - cutoff;
    x[i] = above <= 0 ? 0 : static_cast<float>(gelu(above));
    on += !(above <= 0);
  }
  return on;
}

void soft_cap(float* x, float cap, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(cap * std::tanh(double{x[i]} / cap));
}

// One block again and again; the empty statement keeps the compiler from doing it once.
int64_t peak_int8(int64_t iterations) {
  const uint8_t quants[kBlock] = {};
  const QuantRows w = {quants, nullptr};
  const int8_t x[kBlock] = {};
  int sum = 0;
  for (int64_t i = 0; i < iterations; ++i) {
    asm volatile("" : : "r"(quants), "r"(x) : "memory");
    for (int64_t c = 0; c < kBlock; ++c) sum += q8_0(w, 0, c, kBlock) * x[c];
  }
  asm volatile("" : : "r"(sum));
  return iterations * kBlock;
}

void read_all(const void* p, int64_t bytes) {
  const char* at = static_cast<const char*>(p);
  uint64_t parity[16] = {};
  for (int64_t i = 0; i + 128 <= bytes; i += 128) {
    uint64_t words[16];
    __builtin_memcpy(words, at + i, 128);
    for (int k = 0; k < 16; ++k) parity[k] ^= words[k];
  }
  uint64_t all = 0;
  for (const uint64_t word : parity) all ^= word;
  asm volatile("" : : "r"(all));
}

template <auto decode, typename Value>
constexpr WeightFormat float_format(DType type) {
  return {.type = type, .gemm_float = gemm_float<decode, Value>, .axpy = axpy_float<decode, Value>};
}

template <DType type, auto quant>
constexpr WeightFormat sparse_format() {
  return {.type = type,
          .gemv = gemv_block<type>,
          .sum_rows = sum_rows_block<quant>,
          .sum_columns = sum_columns_block<type, quant>};
}

template <DType type>
constexpr WeightFormat split_format() {
  return {.type = type,
          .gemv = gemv_block<type>,
          .sum_rows = sum_rows_split<type>,
          .sum_columns = sum_columns_split<type>};
}

constexpr WeightFormat kFormats[] = {
    sparse_format<DType::kQ4_0, q4_0>(),
    sparse_format<DType::kQ8_0, q8_0>(),
    split_format<DType::kQ4_1>(),
    split_format<DType::kQ5_0>(),
    split_format<DType::kQ5_1>(),
    split_format<DType::kIQ4_NL>(),
    split_format<DType::kMXFP4>(),
    split_format<DType::kQ2_K>(),
    split_format<DType::kQ3_K>(),
    split_format<DType::kQ4_K>(),
    split_format<DType::kQ5_K>(),
    split_format<DType::kQ6_K>(),
    split_format<DType::kIQ4_XS>(),
    float_format<from_f32, float>(DType::kF32),
    float_format<f16_to_f32, uint16_t>(DType::kF16),
    float_format<bf16_to_f32, uint16_t>(DType::kBF16),
};

}  // namespace

const KernelTable kScalar = {.name = "scalar",
                             .needs = 0,
                             .tile_tokens = 0,
                             .formats = kFormats,
                             .pack_tiles = nullptr,
                             .find_nonzero = find_nonzero,
                             .relu = relu,
                             .multiply_active = multiply_active,
                             .silu_multiply = silu_multiply,
                             .gelu_multiply = gelu_multiply,
                             .gelu_above = gelu_above,
                             .soft_cap = soft_cap,
                             .axpy = axpy,
                             .quantize_q8 = quantize_q8,
                             .rms_norm = rms_norm,
                             .store_kv = store_kv,
                             .attend = attend,
                             .peak_int8 = peak_int8,
                             .read_all = read_all};

}  // namespace st
