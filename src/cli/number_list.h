// Lists of numbers on the command line, as llama-bench writes them.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace st {

struct NumberRange {
  int64_t min;
  int64_t max;
};

// "1,2,8", "1-4", "0-1024+256", "1-16*2" and any mixture. Throws Error(kInvalidUsage) for what is
// not a number, not within `range`, or more than 1000 numbers.
std::vector<int64_t> parse_number_list(std::string_view text, NumberRange range);

// "512,128". Throws Error(kInvalidUsage).
std::pair<int64_t, int64_t> parse_number_pair(std::string_view text, NumberRange range);

}  // namespace st
