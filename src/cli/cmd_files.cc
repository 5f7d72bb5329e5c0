// Commands that write a model: convert, quantize, bundle, strip, synth.
#include <fmt/format.h>
#include <sys/stat.h>

#include <map>

#include "base/error.h"
#include "cli/args.h"
#include "cli/model_args.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "format/gguf.h"

namespace st {
namespace {

// What needs no conversion.
void refuse_gguf(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return;
  const std::string name = printable_path(path);
  if (with_context(name, [&] { return is_gguf(File(path)); })) {
    fail(ErrorCode::kInvalidData,
         "{}: is a GGUF file already: 'run' takes it, 'quantize' makes it smaller", name);
  }
}

}  // namespace

int execute(const ConvertArgs& args) {
  refuse_gguf(args.options.folder);
  check_outputs({args.options.outfile}, {args.options.folder, args.options.predictor});
  ConvertOptions options = args.options;
  options.progress = make_progress_bar(args.progress);
  const ConvertResult result = convert_hf(options);
  for (const std::string& notice : result.notices) print_err("note: {}\n", notice);
  if (options.dry_run) {
    for (const PlannedTensor& tensor : result.tensors) {
      print_out("{:<34} {:<5} [{}]\n", tensor.name, dtype_name(tensor.type),
                fmt::join(tensor.ne, ", "));
    }
  }
  std::map<std::string_view, int> types;
  for (const PlannedTensor& tensor : result.tensors) ++types[dtype_name(tensor.type)];
  std::string counts;
  for (const auto& [type, count] : types) counts += fmt::format(" {} {},", count, type);
  print_err("{}: {} tensors ({}), {} tensor bytes, {} file bytes\n",
            options.dry_run ? "plan" : printable_path(options.outfile), result.tensors.size(),
            counts.substr(1, counts.size() - 2), result.tensor_bytes, result.file_bytes);
  return kExitOk;
}

int execute(const QuantizeArgs& args) {
  refuse_folder(args.options.input);
  check_outputs({args.options.output}, {args.options.input, args.options.imatrix});
  QuantizeOptions options = args.options;
  options.progress = make_progress_bar(args.progress);
  options.on_tensor = [&](const GgufTensor& from, DType to, const EncodeError& error) {
    const std::string_view was = dtype_name(from.type);
    std::string line =
        fmt::format("{:<34} [{}] {}", printable(from.name), fmt::join(from.ne, ", "), was);
    if (to != from.type) line += fmt::format(" -> {}", dtype_name(to));
    if (to != from.type && !options.dry_run)
      line += fmt::format(", error {:.3f} %", 100 * error.relative_rms());
    print_err("{}\n", line);
  };
  const QuantizeResult result = quantize_file(options);
  for (const std::string& notice : result.notices) print_err("note: {}\n", notice);
  for (const auto& [type, part] : result.types) {
    print_err("{:<7} {:>4} tensors, {}\n", dtype_name(type), part.tensors,
              format_bytes(part.bytes));
  }
  print_err("{} -> {} ({:.2f} bits per weight)", format_bytes(result.input_bytes),
            format_bytes(result.output_bytes),
            8.0 * static_cast<double>(result.output_bytes) / static_cast<double>(result.weights));
  if (!options.dry_run)
    print_err(", relative rms error {:.3f} %", 100 * result.error.relative_rms());
  print_err("\n");
  return kExitOk;
}

int execute(const BundleArgs& args) {
  refuse_folder(args.options.input);
  check_outputs({args.options.output}, {args.options.input, args.options.expert_bundle});
  BundleOptions options = args.options;
  options.progress = make_progress_bar(args.progress);
  const BundleResult result = write_bundle(options);
  print_err("{} {}, {}; file {}\n", result.experts, result.units, format_bytes(result.expert_bytes),
            format_bytes(result.file_bytes));
  return kExitOk;
}

int execute(const StripArgs& args) {
  refuse_folder(args.input);
  check_outputs({args.output}, {args.input});
  const StripResult result = strip_file(args.input, args.output, make_progress_bar(args.progress));
  print_err("dropped {} tensors, {}; file {}\n", result.dropped, format_bytes(result.dropped_bytes),
            format_bytes(result.file_bytes));
  return kExitOk;
}

int execute(const SynthArgs& args) {
  SynthOptions options = args.options;
  options.progress = make_progress_bar(args.progress);
  const SynthResult result = synthesize(options);
  if (!result.notice.empty()) print_err("note: {}\n", result.notice);
  print_err("{}: {} tensors, {} tensor bytes, {} file bytes\n", printable_path(options.outfile),
            result.tensors, result.tensor_bytes, result.file_bytes);
  return kExitOk;
}

}  // namespace st
