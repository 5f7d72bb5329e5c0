#include "study/kl_divergence.h"

#include <gtest/gtest.h>

namespace st {
namespace {

constexpr double kClose = 1e-6;

void expect_near(const Estimate& got, double mean, double error) {
  EXPECT_NEAR(got.mean, mean, kClose);
  EXPECT_NEAR(got.error, error, kClose);
}

// Three tokens of a vocabulary of four; what NumPy makes of the formulas in double precision. The
// last token of the base's last row is less likely than e^-16 and adds nothing; two of its others
// are equally likely, and the first counts as the likeliest.
TEST(KlDivergence, OfThreeTokens) {
  KlDivergence kl(5);
  kl.add(std::array{-2.6754904f, -2.1754904f, -1.1754903f, -0.67549026f},
         std::array{0.0f, 1.0f, 2.0f, 3.0f}, 3);
  kl.add(std::array{-1.7465672f, -0.74656725f, -2.7465672f, -1.2465672f},
         std::array{1.0f, 0.0f, -1.0f, 0.5f}, 0);
  kl.add(std::array{-0.79891616f, -0.79891616f, -2.2989161f, -32.798916f},
         std::array{2.0f, 2.5f, 0.0f, -20.0f}, 1);
  EXPECT_EQ(kl.tokens(), 3);
  expect_near(kl.perplexity(), 1.7686596644541874, 0.16169932030676498);
  expect_near(kl.base_perplexity(), 2.9260632104605224, 0.9899925249795452);
  expect_near(kl.log_ratio(), -0.5034358973877643, 0.24854649721098532);
  expect_near(kl.ratio(), 0.6044502586722398, 0.15023399453125919);
  expect_near(kl.divergence(), 0.1315234787550983, 0.0840634076204895);
  expect_near(kl.change(), 0.1923372031036905, 0.05368333812251328);
  expect_near(kl.root_mean_square_change(), 0.20677862868706348, 0.0568593610080539);
  expect_near(kl.same_best(), 1.0 / 3, 1.0 / 3);
  const double places[] = {0, 0.05, 0.5, 0.9, 1};
  const double want[] = {0.04468253, 0.04524113, 0.05026854, 0.2497492, 0.29961936};
  const std::vector<double> divergences = kl.divergences_at(places);
  for (size_t i = 0; i < std::size(places); ++i) EXPECT_NEAR(divergences[i], want[i], kClose) << i;
  const std::vector<double> changes = kl.changes_at(std::array{0.0, 0.25, 1.0});
  EXPECT_NEAR(changes[0], 0.1350074, kClose);
  EXPECT_NEAR(changes[1], 0.13869613, kClose);
  EXPECT_NEAR(changes[2], 0.29961936, kClose);
}

TEST(KlDivergence, OfOneTokenFromItself) {
  KlDivergence kl(1);
  kl.add(std::array{-0.6931472f, -0.6931472f}, std::array{3.0f, 3.0f}, 1);
  expect_near(kl.perplexity(), 2, 0);
  expect_near(kl.log_ratio(), 0, 0);
  expect_near(kl.divergence(), 0, 0);
  expect_near(kl.root_mean_square_change(), 0, 0);
  expect_near(kl.same_best(), 1, 0);
  EXPECT_NEAR(kl.divergences_at(std::array{0.5}).front(), 0, kClose);
}

}  // namespace
}  // namespace st
