#include "cli/outputs.h"

#include <filesystem>

#include "base/overwrite.h"
#include "format/gguf_model.h"

namespace st {
namespace {

// All that may be read of what the command line names.
std::vector<std::string> files_of(const std::string& path) {
  std::error_code ignored;  // what cannot be listed cannot be read
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(path, ignored)) {
    files.push_back(entry.path().string());
  }
  return files.empty() ? gguf_part_names(path) : files;
}

}  // namespace

void check_outputs(const std::vector<std::string>& outputs,
                   const std::vector<std::string>& inputs) {
  std::vector<std::string> files;
  for (const std::string& input : inputs) {
    for (std::string& file : files_of(input)) files.push_back(std::move(file));
  }
  refuse_overwriting(outputs, files);
}

void check_model_outputs(const ModelArgs& args, std::vector<std::string> inputs,
                         std::vector<std::string> outputs) {
  inputs.insert(inputs.begin(), {args.model, args.expert_bundle});
  outputs.insert(outputs.end(), {args.record_routing, args.hot_set});
  check_outputs(outputs, inputs);
}

std::string text_file(const TextArgs& args) {
  if (args.prompt) return {};
  return args.file.empty() || args.file == "-" ? "/dev/stdin" : args.file;
}

}  // namespace st
