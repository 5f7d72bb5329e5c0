#include "study/bench.h"

#include <gtest/gtest.h>

#include <cmath>

#include "study/verify.h"

namespace st {
namespace {

TEST(BenchTest, NamesAreLlamaBenchs) {
  EXPECT_EQ((BenchTest{.prompt = 512}.name()), "pp512");
  EXPECT_EQ((BenchTest{.generate = 128}.name()), "tg128");
  EXPECT_EQ((BenchTest{.prompt = 512, .generate = 128}.name()), "pp512+tg128");
  EXPECT_EQ((BenchTest{.generate = 32, .depth = 4096}.name()), "tg32 @ d4096");
}

TEST(BenchTest, CountsItsTokens) {
  const BenchTest test{.prompt = 512, .generate = 128, .depth = 1000};
  EXPECT_EQ(test.tokens(), 640);
  EXPECT_EQ(test.context(), 1640);
}

TEST(Statistics, MeanAndSampleDeviation) {
  const std::vector<double> values{2, 4, 4, 4, 5, 5, 7, 9};
  EXPECT_DOUBLE_EQ(mean(values), 5);
  EXPECT_DOUBLE_EQ(standard_deviation(values), std::sqrt(32.0 / 7));
  const std::vector<double> one{3};
  EXPECT_DOUBLE_EQ(mean(one), 3);
  EXPECT_DOUBLE_EQ(standard_deviation(one), 0);
}

TEST(Statistics, RatesPerRepetition) {
  const BenchResult result{.test = {.prompt = 100}, .seconds = {0.5, 0.25}};
  EXPECT_EQ(result.rates(), (std::vector<double>{200, 400}));
}

TEST(Verify, CasesThatDiffer) {
  const std::vector<int64_t> threads{1, 2};
  const std::vector<int64_t> micro_batches{1, 7, 64};
  const auto cases = verify_cases(threads, micro_batches, {});
  ASSERT_EQ(cases.size(), 12u);
  EXPECT_EQ(cases[0].micro_batch, 1);
  EXPECT_EQ(cases[5].split, PromptSplit::kSingle);
  EXPECT_EQ(cases[5].micro_batch, 64);
  EXPECT_EQ(cases[6].threads, 2);
}

TEST(Verify, EveryBitOfARowCounts) {
  const std::vector<float> row{1, -2, 0, 4};
  const uint64_t hash = hash_row(row);
  EXPECT_EQ(hash_row(row), hash);
  for (size_t i = 0; i < row.size(); ++i) {
    std::vector<float> other = row;
    other[i] = i == 2 ? -0.0f : std::nextafter(other[i], 10.0f);
    EXPECT_NE(hash_row(other), hash) << i;
  }
  EXPECT_NE(hash_row(std::span(row).first(3)), hash);
}

TEST(Verify, FirstDifference) {
  const std::vector<uint64_t> a{1, 2, 3};
  EXPECT_EQ(first_difference(a, a), std::nullopt);
  EXPECT_EQ(first_difference(a, std::vector<uint64_t>{1, 5, 6}), 1);
  EXPECT_EQ(first_difference(a, std::vector<uint64_t>{1, 2}), 2);
}

}  // namespace
}  // namespace st
