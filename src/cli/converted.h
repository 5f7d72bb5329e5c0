// Hugging Face folders where a command wants a GGUF file.
#pragma once

#include <string>

namespace st {

// Whether `path` is a folder with a model of Hugging Face's.
bool is_hf_folder(const std::string& path);

// The GGUF file that `folder` is as, in Q8_0, among what can be made again (see user_folder()):
// converted if it is not there yet, or of files that have changed since. Throws Error.
std::string converted_model(const std::string& folder, bool progress);

}  // namespace st
