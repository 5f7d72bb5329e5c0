#include "convert/quantize_file.h"

#include <algorithm>
#include <vector>

#include "arch/names.h"
#include "base/error.h"
#include "convert/gguf_out.h"
#include "convert/tensor_plan.h"
#include "tensor/blocks.h"
#include "weights/bundle.h"

namespace st {
namespace {

bool is_float(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16;
}

// The type a tensor is to have in the output.
DType choose_type(const GgufTensor& tensor, const QuantizeOptions& options, bool is_output) {
  const bool matrix =
      tensor.ne.size() >= 2 && tensor.name.ends_with(".weight") && !keeps_floats(tensor.name);
  if (tensor.name == names::kPredictor) return type_for_row(options.type, tensor.ne[0]);
  if (!matrix || tensor.type == options.type) return tensor.type;
  if (!is_float(tensor.type)) {
    fail(ErrorCode::kUnsupported, "tensor '{}': is {} already; quantise from F32, F16 or BF16",
         printable(tensor.name), dtype_name(tensor.type));
  }
  const bool keep_precise = is_output && !options.pure && options.type == DType::kQ4_0;
  return type_for_row(keep_precise ? DType::kQ8_0 : options.type, tensor.ne[0]);
}

void copy_metadata(const GgufFile& in, const QuantizeOptions& options, GgufWriter& out) {
  copy_entries(in, out);
  out.set("general.file_type", GgufValue::u32(gguf_file_type(options.type)));
  out.set("general.quantization_version", GgufValue::u32(2));
}

// Rows in which a flat tensor can be streamed like a matrix instead of as one long row.
uint64_t row_length(const GgufTensor& tensor) {
  if (tensor.ne.size() > 1) return tensor.ne[0];
  return tensor.ne[0] % kBlock == 0 ? kBlock : 1;
}

// The tensor's bytes as another type; what that lost.
EncodeError encode_tensor(const GgufTensor& tensor, const ByteSource& source, DType type,
                          ThreadPool& pool, const ByteSink& sink) {
  const uint64_t cols = row_length(tensor);
  const uint64_t rows = tensor.bytes / row_bytes(tensor.type, cols);
  EncodeError error;
  encode_rows({source, tensor.offset, tensor.type, rows, cols}, type, false, pool, sink, &error);
  return error;
}

}  // namespace

QuantizeResult quantize_file(const QuantizeOptions& options) {
  const GgufModel in(options.input);
  if (is_bundle(in.metadata())) {
    fail(ErrorCode::kUnsupported, "{}: is a bundle; quantise what it was made from",
         printable_path(options.input));
  }
  const bool tied = !in.find(names::kOutput);
  GgufWriter out;
  copy_metadata(in.metadata(), options, out);
  QuantizeResult result;
  const std::vector<GgufModel::Tensor> tensors = in.tensors();
  with_context(printable_path(options.input), [&] {
    for (const auto& [info, source] : tensors) {
      const bool is_output = info->name == (tied ? names::kEmbedding : names::kOutput);
      out.add_tensor(info->name, choose_type(*info, options, is_output), info->ne);
      result.input_bytes += info->bytes;
      result.output_bytes += out.tensors().back().bytes;
      result.weights +=
          info->bytes / dtype_info(info->type).block_bytes * dtype_info(info->type).block_values;
    }
  });

  ThreadPool pool(options.threads);
  result.notice = pool.notice();
  out.begin(options.output);
  uint64_t done = 0;
  const ByteSink sink = [&](std::span<const std::byte> bytes) {
    out.write(bytes);
    done += bytes.size();
    if (options.progress) options.progress("quantize", done, result.output_bytes);
  };
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [info, source] = tensors[i];
    const DType type = out.tensors()[i].type;
    EncodeError error;
    if (type == info->type) {
      copy_bytes(tensors[i], options.input, sink);
    } else {
      with_context(
          fmt::format("{}: tensor '{}'", printable_path(options.input), printable(info->name)),
          [&] { error = encode_tensor(*info, *source, type, pool, sink); });
    }
    result.error.add(error);
    if (options.on_tensor) options.on_tensor(*info, type, error);
  }
  in.check_unchanged();
  out.finish();
  return result;
}

}  // namespace st
