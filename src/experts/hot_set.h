// How often each expert was used, in a small file beside a model: the next run begins with the
// hottest in memory instead of an empty cache.
//
//   smallthinker-hot-set 1
//   layers 32 experts 32
//   5402 113 87 ...      a line for each layer: uses of its experts in 10,000 tokens
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace st {

// rates: (layers, experts), 0..1
std::string format_hot_set(std::span<const float> rates, int64_t layers, int64_t experts);

// Returns the rates. Throws Error(kInvalidData) for what is not such a text, or is of a model with
// other layers or experts.
std::vector<float> parse_hot_set(std::string_view text, int64_t layers, int64_t experts);

}  // namespace st
