#include <fmt/format.h>

#include "base/error.h"
#include "base/path.h"
#include "cli/args.h"
#include "cli/progress_bar.h"
#include "cli/report.h"
#include "cli/streams.h"

namespace st {

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
