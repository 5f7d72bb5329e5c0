// What a file is that is not what its name promises: most are accidents of a download, and who had
// one needs to be told which.
#pragma once

#include <string>
#include <string_view>

#include "base/file.h"

namespace st {

// Of a file that begins so, e.g. "a Git LFS pointer, not the file itself: run 'git lfs pull'";
// empty if nothing known begins so. A few hundred bytes are enough.
std::string file_kind(std::string_view beginning);
std::string file_kind(const ByteSource& source);

// Throws Error(kInvalidData): "not WANT: it is KIND", or only "not WANT" of an unknown kind. `want`
// is like "a GGUF file".
[[noreturn]] void fail_wrong_kind(std::string_view want, const ByteSource& source);
[[noreturn]] void fail_wrong_kind(std::string_view want, std::string_view beginning);

}  // namespace st
