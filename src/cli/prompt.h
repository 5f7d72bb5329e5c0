// Text and token ids that users hand in.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/args.h"
#include "text/tokenizer.h"

namespace st {

// -p with its escapes, -f as it is, or standard input unless that is a terminal; else empty.
std::string read_text(const TextArgs& args);

// All of standard input.
std::string read_stdin();

// "1,2 3" -> ids. Throws Error(kInvalidUsage) for anything but integers in 0..limit-1.
std::vector<Token> parse_ids(std::string_view text, int64_t limit);

}  // namespace st
