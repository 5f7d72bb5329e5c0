// Hugging Face folders where a command wants a GGUF file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace st {

// Whether `path` is a folder with a model of Hugging Face's.
bool is_hf_folder(const std::string& path);

// The GGUF file that `folder` is as, in Q8_0, among what can be made again (see user_folder()):
// converted if it is not there yet, or of files that have changed since. Throws Error.
std::string converted_model(const std::string& folder, bool progress);

struct ConvertedModel {
  std::string path;
  uint64_t bytes = 0;
};
// Those that are there, by path.
std::vector<ConvertedModel> converted_models();
// Of these: what `path` names, the file itself or the folder that it was made of, which may be
// gone.
std::vector<ConvertedModel> converted_models_of(const std::string& path);
// Throws Error(kIo).
void remove_converted(const ConvertedModel& model);

}  // namespace st
