#include <fmt/format.h>

#include "cli/args.h"
#include "cli/model_args.h"
#include "cli/outputs.h"
#include "cli/progress_bar.h"
#include "cli/report.h"
#include "cli/streams.h"

namespace st {

int execute(const BundleArgs& args) {
  refuse_folder(args.options.input);
  check_outputs({args.options.output}, {args.options.input, args.options.expert_bundle});
  BundleOptions options = args.options;
  options.progress = make_progress_bar(args.progress);
  const BundleResult result = write_bundle(options);
  print_err("{} experts, {}; file {}\n", result.experts, format_bytes(result.expert_bytes),
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

}  // namespace st
