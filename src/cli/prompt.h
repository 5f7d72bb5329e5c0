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

// -p with its escapes, or -f or standard input, which is asked for if it is a terminal, without the
// line feed they may end with, as llama.cpp reads prompts. A file may be a pipe. Comes in parts,
// until `part` returns false. Throws Error(kNotFound | kInvalidData | kIo); of what has no size of
// its own more than 1 GiB is refused.
void read_parts(const TextArgs& args, const std::function<bool(std::string_view)>& part);
// What it calls the text in its errors: the file, or "standard input".
std::string text_source(const TextArgs& args);
// Bytes of all of them at most, if that is known beforehand.
std::optional<uint64_t> text_size(const TextArgs& args);

// All of standard input.
std::string read_stdin();

// "1,2 3" -> ids. Throws Error(kInvalidUsage) for anything but integers in 0..limit-1.
std::vector<Token> parse_ids(std::string_view text, int64_t limit);

}  // namespace st
