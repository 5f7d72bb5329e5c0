#include <fmt/format.h>
#include <sys/stat.h>

#include <map>

#include "base/error.h"
#include "base/path.h"
#include "cli/args.h"
#include "cli/outputs.h"
#include "cli/progress_bar.h"
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

}  // namespace st
