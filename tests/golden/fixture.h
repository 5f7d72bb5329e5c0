// The shipped models, converted once per test program, and what the reference says about them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "support/shipped.h"

namespace st::golden {

// Folders under models/tiny-smallthinker: "model" and the three random-weight variants.
inline constexpr const char* kTiny = "model";
inline const std::vector<std::string> kVariants = {
    "variants/micro-4b-style", "variants/micro-21b-style-softmax", "variants/micro-odd-sharded"};

// A GGUF of that folder in `type`, made on first use.
std::string converted(const std::string& folder, DType type, bool transpose_down);

// Relative to models/tiny-smallthinker. A reference, so that a loop over a part of it is safe.
const nlohmann::json& read_golden(const std::string& path);
using testkit::shipped;

// Logits after the last token of `ids`.
std::vector<float> logits_after(Engine& engine, const std::vector<Token>& ids);

// Compares with a golden "top10" list: largest difference, and whether the best token agrees.
struct TopDifference {
  double largest = 0;
  bool same_best = true;
};
TopDifference compare_top10(const std::vector<float>& logits, const nlohmann::json& top10);

// n tokens, always the likeliest, past any end-of-generation token.
std::vector<Token> greedy(Engine& engine, const std::vector<Token>& ids, int n);

}  // namespace st::golden
