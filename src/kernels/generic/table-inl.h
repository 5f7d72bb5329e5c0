// The table of the including file, from its vector vocabulary.

#include "kernels/generic/axpy-inl.h"
#include "kernels/generic/gemm-inl.h"
#include "kernels/generic/probe-inl.h"
#include "kernels/generic/rowops-inl.h"

namespace st {
namespace {

constexpr KernelTable make_table(std::string_view name, uint64_t needs) {
  return {.name = name,
          .needs = needs,
          .gemm_f32 = gemm_float<F32>,
          .gemm_f16 = gemm_float<F16>,
          .gemm_bf16 = gemm_float<BF16>,
          .gemm_q8_0 = gemm_block<Q8_0>,
          .gemm_q4_0 = gemm_block<Q4_0>,
          .axpy_f32 = axpy_float<F32>,
          .axpy_f16 = axpy_float<F16>,
          .axpy_bf16 = axpy_float<BF16>,
          .axpy_q8_0 = axpy_q8_0,
          .axpy_q4_0 = axpy_q4_0,
          .quantize_q8 = quantize_q8,
          .f32_to_f16 = f32_to_f16,
          .rms_norm = rms_norm,
          .softmax = softmax,
          .peak_int8 = peak_int8,
          .read_all = read_all};
}

}  // namespace
}  // namespace st
