// The table of the including file, from its vector vocabulary.

#include "kernels/generic/axpy-inl.h"
#include "kernels/generic/block-gemm-inl.h"
#include "kernels/generic/block-gemv-inl.h"
#include "kernels/generic/float-gemm-inl.h"
#include "kernels/generic/probe-inl.h"
#include "kernels/generic/rowops-inl.h"
#include "kernels/generic/sum-rows-inl.h"

// Uses the slots of sum-rows-inl.h:
#include "kernels/generic/sum-columns-inl.h"

// Uses the row operations and fetches:
#include "kernels/generic/attention-inl.h"

namespace st {
namespace {

static_assert(kLanes <= kMaxTileTokens);

constexpr KernelTable make_table(std::string_view name, uint64_t needs) {
  return {.name = name,
          .needs = needs,
          .tile_tokens = kLanes,
          .gemm_f32 = gemm_float<F32>,
          .gemm_f16 = gemm_float<F16>,
          .gemm_bf16 = gemm_float<BF16>,
          .gemv_q8_0 = gemv_block<Q8_0>,
          .gemv_q4_0 = gemv_block<Q4_0>,
          .pack_tiles = pack_tiles,
          .unpack_q8_0 = unpack_block<Q8_0>,
          .unpack_q4_0 = unpack_block<Q4_0>,
          .gemm_q8_0 = gemm_block<Q8_0>,
          .gemm_q4_0 = gemm_block<Q4_0>,
          .sum_rows_q8_0 = sum_rows_block<Q8_0>,
          .sum_rows_q4_0 = sum_rows_block<Q4_0>,
          .sum_columns_q8_0 = sum_columns_block<Q8_0>,
          .sum_columns_q4_0 = sum_columns_block<Q4_0>,
          .find_nonzero = find_nonzero,
          .relu = relu,
          .multiply_active = multiply_active,
          .axpy_f32 = axpy_float<F32>,
          .axpy_f16 = axpy_float<F16>,
          .axpy_bf16 = axpy_float<BF16>,
          .quantize_q8 = quantize_q8,
          .rms_norm = rms_norm,
          .store_kv = store_kv,
          .attend = attend,
          .peak_int8 = peak_int8,
          .read_all = read_all};
}

}  // namespace
}  // namespace st
