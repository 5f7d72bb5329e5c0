// Text and token ids that users hand in.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/args.h"
#include "text/tokenizer.h"

namespace st {

// -p with its escapes, -f as it is, or standard input unless that is a terminal; else nothing.
// Comes in parts, until `part` returns false.
void read_parts(const TextArgs& args, const std::function<bool(std::string_view)>& part);
// Bytes of all of them at most, if that is known beforehand.
std::optional<uint64_t> text_size(const TextArgs& args);

// All of standard input.
std::string read_stdin();

// "1,2 3" -> ids. Throws Error(kInvalidUsage) for anything but integers in 0..limit-1.
std::vector<Token> parse_ids(std::string_view text, int64_t limit);

}  // namespace st
