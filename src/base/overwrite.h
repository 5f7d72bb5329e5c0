// Outputs that would replace what is read for them.
#pragma once

#include <span>
#include <string>

namespace st {

// Throws Error(kInvalidUsage) if an output is the same file as an input or as another output: by
// device and number, so under any name, through any link. Empty paths mean no file. To be called
// before anything is read or written.
void refuse_overwriting(std::span<const std::string> outputs, std::span<const std::string> inputs);

}  // namespace st
