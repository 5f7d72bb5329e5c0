// The values of options: their text, as users write it, to numbers.
//
// `parse_*` throw Error(kInvalidUsage); `read_*` return what is wrong, or nothing.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/args.h"

namespace st {

struct NumberRange {
  int64_t min;
  int64_t max;
};

// A whole number in decimal digits, nothing else.
std::string read_whole(std::string_view text, NumberRange range, int64_t& value);

// A decimal number; refused if it is nearer to zero than `least` and not zero.
std::string read_decimal(const std::string& text, double min, double max, double least,
                         double& value);

// A size such as 512MiB, not zero, and a list of them with commas, which replaces `sizes`.
std::string read_size(const std::string& text, uint64_t& bytes);
std::string read_sizes(const std::string& text, std::vector<uint64_t>& sizes);

// A date and time of day: 2026-11-05T07:08:09, or with a space between.
std::string read_time(const std::string& text, std::tm& time);

// "auto" or "off": whether drafts are made, by a drafter that is new.
std::string read_spec(std::string_view text, std::shared_ptr<Drafter>& drafter);

// "1GiB", or "30%" of all experts; added to `budgets`.
std::string read_cache_budget(const std::string& text, std::vector<CacheBudget>& budgets);

// "64:700MiB": TOKENS:SIZE, ascending; added to `changes`.
std::string read_memory_change(const std::string& text, std::vector<MemoryChange>& changes);

// "1,2,8", "1-4", "0-1024+256", "1-16*2" and any mixture, as llama-bench writes them: what is not a
// number, not within `range`, or more than 1000 numbers is refused.
std::vector<int64_t> parse_number_list(std::string_view text, NumberRange range);

// "512,128".
std::pair<int64_t, int64_t> parse_number_pair(std::string_view text, NumberRange range);

}  // namespace st
