// Command lines as people paste and type them: with llama.cpp's options, and with slips.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace st {

// What a command knows of an option: how many values it takes, or -1 if it has no such option.
using OptionLookup = std::function<int(const std::string& option)>;

// The arguments as our options are spelt. Options of llama.cpp that have no effect here are left
// out, with a note unless they ask for what is done anyway. Throws Error(kInvalidUsage) for options
// that nobody knows, and those of llama.cpp that would make another text.
std::vector<std::string> translate(std::span<const std::string> arguments,
                                   const OptionLookup& lookup, std::span<const std::string> options,
                                   std::vector<std::string>& notes);

// Whether llama.cpp has such an option, which translate() understands.
bool is_pasted_option(const std::string& option);

// Of `among`, what `word` may have been meant to be; empty if nothing is like it.
std::string nearest(std::string_view word, std::span<const std::string> among);

}  // namespace st
