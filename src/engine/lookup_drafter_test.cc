#include "engine/lookup_drafter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <vector>

namespace st {
namespace {

// Passes over n tokens of a text that takes `seconds(n)` each; the text is what it is.
struct Written {
  double seconds = 0;
  int64_t drafted = 0, chosen = 0, longest = 0;
};
Written write(LookupDrafter& drafter, std::span<const Token> text, int64_t prompt,
              const std::function<double(int64_t tokens)>& seconds) {
  Written written;
  drafter.begin();
  for (int64_t end = prompt; end < std::ssize(text);) {
    const std::span<const Token> rest = text.subspan(static_cast<size_t>(end));
    const auto draft = drafter.draft(text.first(static_cast<size_t>(end)), std::ssize(rest) - 1);
    const auto n = std::ssize(draft);
    const auto right = std::ranges::mismatch(draft, rest).in1 - draft.begin();
    written.seconds += seconds(1 + n);
    written.drafted += n;
    written.chosen += right;
    written.longest = std::max<int64_t>(written.longest, n);
    drafter.timed(n, seconds(1 + n));
    end += 1 + right;
  }
  return written;
}

std::vector<Token> random_text(int64_t tokens, uint32_t vocabulary) {
  std::mt19937 random(3);
  std::vector<Token> text(static_cast<size_t>(tokens));
  for (Token& token : text) token = static_cast<Token>(random() % vocabulary);
  return text;
}

// The same again, but every so many tokens it is another one.
std::vector<Token> repeated(const std::vector<Token>& text, int64_t every) {
  std::vector<Token> both = text;
  both.insert(both.end(), text.begin(), text.end());
  for (size_t i = text.size(); i < both.size(); ++i) {
    if (static_cast<int64_t>(i) % every == every - 1) both[i] += 1;
  }
  return both;
}

double half_more(int64_t tokens) { return 0.02 * (0.5 + 0.5 * static_cast<double>(tokens)); }

TEST(LookupDrafter, DraftsWhereTextRepeatsItself) {
  LookupDrafter drafter;
  const std::vector<Token> text = repeated(random_text(500, 5000), 25);
  const Written written = write(drafter, text, 500, half_more);
  EXPECT_GT(500 * half_more(1) / written.seconds, 1.35);
  EXPECT_GT(written.chosen, 350);
  EXPECT_LT(written.drafted, written.chosen * 5 / 4);
}

TEST(LookupDrafter, DraftsAsFarAsPassesAreCheap) {
  const std::vector<Token> text = repeated(random_text(500, 5000), 501);
  LookupDrafter cheap;
  const Written free = write(cheap, text, 500, [](int64_t) { return 0.02; });
  EXPECT_EQ(free.longest, PassCosts::kMost - 1);
  EXPECT_GT(500 * 0.02 / free.seconds, 6);
  // A pass over four is as dear as four: drafts of two are best.
  LookupDrafter steep;
  const auto stair = [](int64_t n) {
    const auto tokens = static_cast<double>(n);
    return 0.02 * (n < 4 ? 0.8 + 0.2 * tokens : tokens);
  };
  const Written two = write(steep, text, 500, stair);
  EXPECT_GT(500 * stair(1) / two.seconds, 0.9 * 3 * stair(1) / stair(3));
}

// Where a pass over n tokens takes n times as long, as where each of them reads its experts from
// disk, nothing is gained; what is tried to know costs next to nothing.
TEST(LookupDrafter, DraftsNothingThatDoesNotPay) {
  const std::vector<Token> text = repeated(random_text(2000, 5000), 20);
  LookupDrafter drafter;
  const auto dear = [](int64_t n) { return 0.02 * static_cast<double>(n); };
  const Written written = write(drafter, text, 2000, dear);
  EXPECT_LT(written.drafted, 200);
  EXPECT_LT(written.seconds, 2000 * dear(1) * 1.01);
}

TEST(LookupDrafter, LosesNothingOnTextThatDoesNotRepeatItself) {
  for (const uint32_t vocabulary : {2u, 3u, 5u, 12u, 40u, 4000u}) {
    LookupDrafter drafter;
    const std::vector<Token> text = random_text(1200, vocabulary);
    const Written written = write(drafter, text, 200, half_more);
    EXPECT_LT(written.seconds, 1000 * half_more(1) * 1.01) << vocabulary;
  }
}

// What an interruption adds to a pass is not believed for long.
TEST(LookupDrafter, GoesOnAfterAnInterruption) {
  LookupDrafter drafter;
  const std::vector<Token> text = repeated(random_text(2000, 5000), 25);
  int64_t passes = 0;
  const Written written =
      write(drafter, text, 2000, [&](int64_t n) { return ++passes == 30 ? 5.0 : half_more(n); });
  EXPECT_GT(2000 * half_more(1) / (written.seconds - 5), 1.3);
}

TEST(PassCosts, AreMeasured) {
  PassCosts costs;
  EXPECT_DOUBLE_EQ(costs.of(1), 1);
  EXPECT_DOUBLE_EQ(costs.of(3), 3);
  costs.add(1, 0.02);
  EXPECT_DOUBLE_EQ(costs.of(3), 2);
  for (int i = 0; i < 50; ++i) {
    costs.add(1, 0.02);
    costs.add(3, 0.028);
    costs.add(5, 0.06);
  }
  EXPECT_NEAR(costs.of(3), 1.4, 0.05);
  EXPECT_NEAR(costs.of(5), 3, 0.1);
  EXPECT_GT(costs.of(4), costs.of(3));
  EXPECT_LT(costs.of(4), costs.of(5));
}

}  // namespace
}  // namespace st
