// The table of the including file, from its vector vocabulary.

#include "kernels/generic/axpy-inl.h"
#include "kernels/generic/block-gemm-inl.h"
#include "kernels/generic/block-gemv-inl.h"
#include "kernels/generic/float-gemm-inl.h"
#include "kernels/generic/probe-inl.h"
#include "kernels/generic/rowops-inl.h"
#include "kernels/generic/sum-rows-inl.h"
#include "kernels/generic/super-blocks-inl.h"
#include "kernels/generic/table-blocks-inl.h"

// Uses the slots of sum-rows-inl.h:
#include "kernels/generic/sum-columns-inl.h"

// Uses the row operations and fetches:
#include "kernels/generic/attention-inl.h"

namespace st {
namespace {

static_assert(kLanes <= kMaxTileTokens);

template <typename W>
constexpr WeightFormat float_format(DType type) {
  return {.type = type, .gemm_float = gemm_float<W>, .axpy = axpy_float<W>};
}

template <typename W>
constexpr WeightFormat block_format(DType type) {
  return {.type = type, .gemv = gemv_block<W>, .unpack = unpack_block<W>, .gemm = gemm_block<W>};
}
// With sums of active rows.
template <typename W>
constexpr WeightFormat sparse_format(DType type) {
  WeightFormat format = block_format<W>(type);
  format.sum_rows = sum_rows_block<W>;
  format.sum_columns = sum_columns_block<W>;
  return format;
}

constexpr WeightFormat kFormats[] = {
    sparse_format<Q4_0>(DType::kQ4_0),    sparse_format<Q8_0>(DType::kQ8_0),
    float_format<F32>(DType::kF32),       float_format<F16>(DType::kF16),
    float_format<BF16>(DType::kBF16),     block_format<Q4_1>(DType::kQ4_1),
    block_format<Q5_0>(DType::kQ5_0),     block_format<Q5_1>(DType::kQ5_1),
    block_format<Q2_K>(DType::kQ2_K),     block_format<Q3_K>(DType::kQ3_K),
    block_format<Q4_K>(DType::kQ4_K),     block_format<Q5_K>(DType::kQ5_K),
    block_format<Q6_K>(DType::kQ6_K),     block_format<IQ4_NL>(DType::kIQ4_NL),
    block_format<IQ4_XS>(DType::kIQ4_XS), block_format<MXFP4>(DType::kMXFP4),
};

constexpr KernelTable make_table(std::string_view name, uint64_t needs) {
  return {.name = name,
          .needs = needs,
          .tile_tokens = kLanes,
          .formats = kFormats,
          .pack_tiles = pack_tiles,
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
}

}  // namespace
}  // namespace st
