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

// Uses the words of sum-rows-inl.h:
#include "kernels/generic/sum-code-rows-inl.h"
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
  return {.type = type,
          .gemv = gemv_block<W>,
          .unpack = unpack_block<W>,
          .gemm = gemm_block<UnpackedOf<W>>};
}

// Q4_0 and Q8_0, whose quants are multiplied as they lie.
template <typename W, template <typename> typename Codes>
constexpr WeightFormat packed_format(DType type) {
  WeightFormat format = block_format<W>(type);
  format.sum_rows = sum_parts<RowSums<W>>;
  format.sum_columns = sum_columns<Neurons<Codes<W>, NeuronD>>;
  return format;
}

// The others, with the scales of a row and those of regrouped neurons.
template <typename W, typename RowScales, typename NeuronScales,
          template <typename> typename Codes = CodeNeurons>
constexpr WeightFormat code_format(DType type) {
  WeightFormat format = block_format<W>(type);
  format.sum_rows = sum_parts<CodeSums<CodeRows<W, RowScales>>>;
  format.sum_columns = sum_columns<Neurons<Codes<W>, NeuronScales>>;
  return format;
}

constexpr WeightFormat kFormats[] = {
    packed_format<Q4_0, NibbleNeurons>(DType::kQ4_0),
    packed_format<Q8_0, ByteNeurons>(DType::kQ8_0),
    code_format<Q4_1, RowOfDAndM, NeuronDAndM, NibbleNeurons>(DType::kQ4_1),
    code_format<Q5_0, RowOfD, NeuronD>(DType::kQ5_0),
    code_format<Q5_1, RowOfDAndM, NeuronDAndM>(DType::kQ5_1),
    code_format<IQ4_NL, RowOfD, NeuronD>(DType::kIQ4_NL),
    code_format<MXFP4, RowOfExponents, NeuronExponents>(DType::kMXFP4),
    code_format<Q2_K, RowOfSuperBlocks<Q2_KRow>, NeuronPacked>(DType::kQ2_K),
    code_format<Q3_K, RowOfSuperBlocks<Q3_KRow>, NeuronSigned<16>>(DType::kQ3_K),
    code_format<Q4_K, RowOfSuperBlocks<SixBitRow>, NeuronSixBits, NibbleNeurons>(DType::kQ4_K),
    code_format<Q5_K, RowOfSuperBlocks<SixBitRow>, NeuronSixBits>(DType::kQ5_K),
    code_format<Q6_K, RowOfSuperBlocks<Q6_KRow>, NeuronSigned<16>>(DType::kQ6_K),
    code_format<IQ4_XS, RowOfSuperBlocks<IQ4_XSRow>, NeuronSigned<kBlock>>(DType::kIQ4_XS),
    float_format<F32>(DType::kF32),
    float_format<F16>(DType::kF16),
    float_format<BF16>(DType::kBF16),
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
