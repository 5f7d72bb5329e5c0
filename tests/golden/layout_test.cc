// The two layouts of the down matrices say the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "golden/fixture.h"

namespace st::golden {
namespace {

double largest_difference(const std::string& folder, DType type) {
  // Rounding in the cache would magnify differences of the last bit.
  const EngineOptions exact{.cache_type = KvType::kF32};
  Engine plain(converted(folder, type, false), exact);
  Engine transposed(converted(folder, type, true), exact);
  double largest = 0;
  for (const auto& prompt : read_golden("golden/prompts.json")["prompts"]) {
    const auto ids = prompt["ids"].get<std::vector<Token>>();
    if (ids.empty()) continue;
    const auto a = logits_after(plain, ids);
    const auto b = logits_after(transposed, ids);
    for (size_t i = 0; i < a.size(); ++i)
      largest = std::max(largest, std::abs(double{a[i]} - b[i]));
  }
  return largest;
}

TEST(Layout, TransposedAndPlainDownAgreeInF16) {
  EXPECT_LE(largest_difference(kTiny, DType::kF16), 1e-4);
  for (const std::string& variant : kVariants) {
    EXPECT_LE(largest_difference(variant, DType::kF16), 1e-4) << variant;
  }
}

}  // namespace
}  // namespace st::golden
