#include "convert/quantize_file.h"

#include <vector>

#include "base/error.h"
#include "convert/column_importance.h"
#include "convert/gguf_out.h"
#include "convert/type_choice.h"
#include "tensor/blocks.h"
#include "weights/bundle.h"

namespace st {
namespace {

void copy_metadata(const GgufFile& in, const QuantMix& mix, GgufWriter& out) {
  copy_entries(in, out);
  out.set("general.file_type", GgufValue::u32(mix.file_type));
  out.set("general.quantization_version", GgufValue::u32(2));
}

// Rows in which a flat tensor can be streamed like a matrix instead of as one long row.
uint64_t row_length(const GgufTensor& tensor) {
  if (tensor.ne.size() > 1) return tensor.ne[0];
  return tensor.ne[0] % kBlock == 0 ? kBlock : 1;
}

// The tensor's bytes as another type; what that lost.
EncodeError encode_tensor(const GgufModel::Tensor& tensor, DType type, ThreadPool& pool,
                          const ByteSink& sink, const RowImportance& importance) {
  const GgufTensor& info = *tensor.info;
  const uint64_t cols = row_length(info);
  const uint64_t rows = info.bytes / row_bytes(info.type, cols);
  EncodeError error;
  encode_rows({*tensor.source, info.offset, info.type, rows, cols}, type, false, pool, sink, &error,
              importance);
  return error;
}

// Adds all tensors, as they will be, to `out` and up in the result.
void plan_types(const QuantizeOptions& options, const GgufModel& in, TypeChoice& choice,
                GgufWriter& out, QuantizeResult& result) {
  for (const auto& [info, source] : in.tensors()) {
    out.add_tensor(info->name, choice.type_of(*info), info->ne);
    const GgufTensor& made = out.tensors().back();
    QuantizeResult::Part& part = result.types[made.type];
    ++part.tensors;
    part.bytes += made.bytes;
    result.input_bytes += info->bytes;
    result.output_bytes += made.bytes;
    result.weights +=
        info->bytes / dtype_info(info->type).block_bytes * dtype_info(info->type).block_values;
    if (options.dry_run && options.on_tensor) options.on_tensor(*info, made.type, {});
  }
  choice.refuse_idle_patterns();
}

}  // namespace

QuantizeResult quantize_file(const QuantizeOptions& options) {
  const GgufModel in(options.input);
  if (is_bundle(in.metadata())) {
    fail(ErrorCode::kUnsupported, "{}: is a bundle; quantise what it was made from",
         printable_path(options.input));
  }
  ColumnImportance importance(options.imatrix, in);
  GgufWriter out;
  QuantizeResult result;
  with_context(printable_path(options.input), [&] {
    TypeChoice choice(options, in);
    copy_metadata(in.metadata(), choice.mix(), out);
    importance.set_metadata(out);
    plan_types(options, in, choice, out, result);
  });
  if (options.dry_run) return result;

  ThreadPool pool(options.threads);
  if (!pool.notice().empty()) result.notices.push_back(pool.notice());
  out.begin(options.output);
  uint64_t done = 0;
  const ByteSink sink = [&](std::span<const std::byte> bytes) {
    out.write(bytes);
    done += bytes.size();
    if (options.progress) options.progress("quantize", done, result.output_bytes);
  };
  const std::vector<GgufModel::Tensor> tensors = in.tensors();
  for (size_t i = 0; i < tensors.size(); ++i) {
    const GgufTensor& info = *tensors[i].info;
    const DType type = out.tensors()[i].type;
    EncodeError error;
    if (type == info.type) {
      copy_bytes(tensors[i], options.input, sink);
    } else {
      const RowImportance of_rows = importance.rows_of(info);
      with_context(
          fmt::format("{}: tensor '{}'", printable_path(options.input), printable(info.name)),
          [&] { error = encode_tensor(tensors[i], type, pool, sink, of_rows); });
    }
    result.error.add(error);
    if (options.on_tensor) options.on_tensor(info, type, error);
  }
  in.check_unchanged();
  out.finish();
  for (std::string& notice : importance.notices()) result.notices.push_back(std::move(notice));
  return result;
}

}  // namespace st
