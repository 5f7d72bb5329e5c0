#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "support/bytes.h"

namespace st {
namespace {

using testkit::error_of;

SamplerOptions only(std::vector<SamplerKind> chain) {
  SamplerOptions o;
  o.seed = 1;
  o.temperature = 1;
  o.chain = std::move(chain);
  return o;
}

// How often each token is drawn.
std::map<Token, int> draws(const SamplerOptions& options, const std::vector<float>& logits, int n,
                           const std::vector<Token>& history = {}) {
  Sampler sampler(options);
  for (const Token token : history) sampler.accept(token);
  std::map<Token, int> counts;
  for (int i = 0; i < n; ++i) ++counts[sampler.sample(logits)];
  return counts;
}

std::vector<float> logs(std::vector<float> probabilities) {
  for (float& p : probabilities) p = std::log(p);
  return probabilities;
}

TEST(Samplers, DrawFollowsTheDistribution) {
  constexpr int kDraws = 100'000;
  const auto counts = draws(only({}), logs({0.5f, 0.1f, 0.3f, 0.1f}), kDraws);
  EXPECT_NEAR(counts.at(0), 0.5 * kDraws, 700);  // over four standard deviations
  EXPECT_NEAR(counts.at(1), 0.1 * kDraws, 400);
  EXPECT_NEAR(counts.at(2), 0.3 * kDraws, 600);
}

// A sampler that another goes on for.
TEST(Samplers, GoOnWhereAnotherWas) {
  const std::vector<float> flat(1000, 0.0f);
  Sampler first(only({}));
  for (int i = 0; i < 700; ++i) first.sample(flat);  // beyond the generator's 624 words
  SamplerOptions o = only({});
  o.seed = first.seed();
  o.used = first.used();
  EXPECT_EQ(o.used, 1400u);
  Sampler second(o);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(second.sample(flat), first.sample(flat));
}

TEST(Samplers, SeedDecides) {
  const std::vector<float> flat(1000, 0.0f);
  SamplerOptions o = only({});
  const auto sequence = [&] {
    Sampler sampler(o);
    std::vector<Token> tokens;
    for (int i = 0; i < 20; ++i) tokens.push_back(sampler.sample(flat));
    return tokens;
  };
  const auto first = sequence();
  EXPECT_EQ(first, sequence());
  // mt19937(1) gives 1791095845 and 4282876139: u = 0.9971..., so token 997.
  EXPECT_EQ(first[0], 997);
  o.seed = 2;
  EXPECT_NE(first, sequence());
}

TEST(Samplers, GreedyTakesTheFirstOfTheBest) {
  SamplerOptions o;
  o.temperature = 0;
  EXPECT_EQ(Sampler(o).sample(std::vector<float>{1, 5, 5, 2}), 1);
  o.chain = {};  // even if the chain forgets temperature
  EXPECT_EQ(Sampler(o).sample(std::vector<float>{1, 5, 5, 2}), 1);
}

TEST(Samplers, TopKTopPMinP) {
  const auto logits = logs({0.05f, 0.4f, 0.25f, 0.3f});
  const auto kept = [&](SamplerOptions o) {
    std::set<Token> tokens;
    for (const auto& [token, n] : draws(o, logits, 2000)) tokens.insert(token);
    return tokens;
  };
  SamplerOptions o = only({SamplerKind::kTopK});
  o.top_k = 2;
  EXPECT_EQ(kept(o), (std::set<Token>{1, 3}));
  o.top_k = 0;
  EXPECT_EQ(kept(o).size(), 4u);
  o = only({SamplerKind::kTopP});
  o.top_p = 0.6f;  // 0.4 is not enough, 0.7 is
  EXPECT_EQ(kept(o), (std::set<Token>{1, 3}));
  o.top_p = 0.0f;  // never empty
  EXPECT_EQ(kept(o), (std::set<Token>{1}));
  o = only({SamplerKind::kMinP});
  o.min_p = 0.5f;  // at least 0.2
  EXPECT_EQ(kept(o), (std::set<Token>{1, 2, 3}));
  o = only({SamplerKind::kTypicalP});
  o.typical_p = 0.2f;  // entropy 1.21 nats: 0.3 (1.20) is the most typical
  EXPECT_EQ(kept(o), (std::set<Token>{3}));
}

TEST(Samplers, OrderMatters) {
  // Hot first, top-p then sees a flat distribution; top-p first sees a steep one.
  SamplerOptions o = only({SamplerKind::kTemperature, SamplerKind::kTopP});
  o.temperature = 100;
  o.top_p = 0.8f;
  const auto logits = logs({0.9f, 0.05f, 0.03f, 0.02f});
  EXPECT_GT(draws(o, logits, 500).size(), 2u);
  o.chain = {SamplerKind::kTopP, SamplerKind::kTemperature};
  EXPECT_EQ(draws(o, logits, 500).size(), 1u);
}

TEST(Samplers, PenaltiesLookBack) {
  SamplerOptions o = only({SamplerKind::kPenalties});
  o.temperature = 0;
  o.repeat_penalty = 2;
  const std::vector<float> logits{3, 2, -1};
  EXPECT_EQ(draws(o, logits, 1, {0}).begin()->first, 1);  // 3 / 2 < 2
  EXPECT_EQ(draws(o, logits, 1, {2}).begin()->first, 0);  // -1 * 2: further down
  o.repeat_last_n = 1;
  EXPECT_EQ(draws(o, logits, 1, {0, 2}).begin()->first, 0);  // 0 is out of sight
  o.repeat_last_n = -1;
  EXPECT_EQ(draws(o, logits, 1, {0, 2}).begin()->first, 1);
  o.repeat_penalty = 1;
  o.frequency_penalty = 0.4f;
  EXPECT_EQ(draws(o, logits, 1, {0, 0}).begin()->first, 0);     // 3 - 0.8
  EXPECT_EQ(draws(o, logits, 1, {0, 0, 0}).begin()->first, 1);  // 3 - 1.2
  o.frequency_penalty = 0;
  o.presence_penalty = 1.1f;
  EXPECT_EQ(draws(o, logits, 1, {0}).begin()->first, 1);
}

TEST(Samplers, BannedTokensNeverCome) {
  SamplerOptions o = only({});
  o.banned = {1, -1, 99};
  EXPECT_FALSE(draws(o, logs({0.1f, 0.8f, 0.1f}), 2000).contains(1));
}

TEST(Samplers, NamesOfTheChain) {
  using enum SamplerKind;
  EXPECT_EQ(parse_samplers("temperature;top_k;top_p"),
            (std::vector<SamplerKind>{kTemperature, kTopK, kTopP}));
  EXPECT_EQ(parse_samplers("penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature"),
            (std::vector<SamplerKind>{kPenalties, kTopK, kTypicalP, kTopP, kMinP, kTemperature}));
  EXPECT_EQ(parse_samplers("nucleus;temp"), (std::vector<SamplerKind>{kTopP, kTemperature}));
  EXPECT_TRUE(parse_samplers("").empty());
  EXPECT_EQ(error_of([] { parse_samplers("top_k;magic"); }),
            "unknown sampler 'magic' (known: penalties, dry, top_n_sigma, top_k, typ_p, top_p, "
            "min_p, xtc, temperature)");
}

}  // namespace
}  // namespace st
