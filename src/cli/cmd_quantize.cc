#include <fmt/format.h>

#include "base/error.h"
#include "cli/args.h"
#include "cli/model_args.h"
#include "cli/outputs.h"
#include "cli/progress_bar.h"
#include "cli/report.h"
#include "cli/streams.h"

namespace st {

int execute(const QuantizeArgs& args) {
  refuse_folder(args.options.input);
  check_outputs({args.options.output}, {args.options.input});
  QuantizeOptions options = args.options;
  options.progress = make_progress_bar(args.progress);
  options.on_tensor = [](const GgufTensor& from, DType to, const EncodeError& error) {
    const std::string_view was = dtype_name(from.type);
    print_err("{:<34} [{}] {}", printable(from.name), fmt::join(from.ne, ", "), was);
    if (to != from.type)
      print_err(" -> {}, error {:.3f} %", dtype_name(to), 100 * error.relative_rms());
    print_err("\n");
  };
  const QuantizeResult result = quantize_file(options);
  if (!result.notice.empty()) print_err("note: {}\n", result.notice);
  print_err("{} -> {} ({:.2f} bits per weight), relative rms error {:.3f} %\n",
            format_bytes(result.input_bytes), format_bytes(result.output_bytes),
            8.0 * static_cast<double>(result.output_bytes) / static_cast<double>(result.weights),
            100 * result.error.relative_rms());
  return kExitOk;
}

}  // namespace st
