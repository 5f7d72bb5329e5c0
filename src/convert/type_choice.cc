#include "convert/type_choice.h"

#include <numeric>

#include "arch/names.h"
#include "base/error.h"
#include "convert/tensor_plan.h"

namespace st {
namespace {

bool is_float(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16;
}

bool is_matrix(const GgufTensor& tensor) {
  return tensor.ne.size() >= 2 && tensor.name.ends_with(".weight") && !keeps_floats(tensor.name);
}

}  // namespace

TypeChoice::TypeChoice(const QuantizeOptions& options, const GgufModel& in)
    : options_(options), in_(in), mix_(find_quant_mix(options.mix)) {
  if (mix_ == nullptr) {
    fail(ErrorCode::kInvalidUsage, "type '{}': want {}", printable(options.mix), quant_mix_names());
  }
  facts_ = mix_facts(in.metadata(), in.tensors());
  facts_.importance = !options.imatrix.empty();
  for (const auto& [text, type] : options.tensor_types)
    patterns_.push_back({NamePattern(text), type});
}

DType TypeChoice::type_of(const GgufTensor& tensor) {
  const bool predictor = tensor.name == names::kPredictor;
  if (!predictor && !is_matrix(tensor)) return tensor.type;
  const DType type =
      type_for_row(wanted(tensor), predictor ? predictor_cols(tensor) : tensor.ne[0]);
  if (type != tensor.type && !is_float(tensor.type) && !options_.allow_requantize) {
    fail(ErrorCode::kUnsupported,
         "tensor '{}': is {} already, want F32, F16 or BF16; --allow-requantize takes it as it is",
         printable(tensor.name), dtype_name(tensor.type));
  }
  return type;
}

DType TypeChoice::wanted(const GgufTensor& tensor) {
  const bool embedding = is_embedding(tensor.name);
  if (options_.embedding_type && embedding) return *options_.embedding_type;
  if (options_.output_type && (tensor.name == names::kOutput || (facts_.tied && embedding))) {
    return *options_.output_type;
  }
  for (Pattern& pattern : patterns_) {
    if (!pattern.name.is_in(tensor.name)) continue;
    pattern.matched = true;
    return pattern.type;
  }
  if (options_.pure || tensor.name == names::kPredictor) return mix_->type;
  return mixed_type(*mix_, facts_, tensor.name, tensor.ne[0]);
}

void TypeChoice::refuse_idle_patterns() const {
  for (const Pattern& pattern : patterns_) {
    if (pattern.matched) continue;
    fail(ErrorCode::kInvalidUsage, "tensor type '{}': no matrix has such a name",
         printable(pattern.name.text()));
  }
}

// The predictor is two matrices one after the other, (R, D) and (V, R): blocks must fit in the rows
// of both.
uint64_t TypeChoice::predictor_cols(const GgufTensor& predictor) const {
  const GgufModel::Tensor embedding = in_.find(names::kEmbedding);
  if (!embedding) return predictor.ne[0];
  const uint64_t hidden = embedding.info->ne[0], vocab = embedding.info->dim(1);
  return std::gcd(hidden, predictor.ne[0] / (hidden + vocab));
}

}  // namespace st
