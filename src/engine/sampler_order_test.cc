// The sampler orders no more than it must; here everything is sorted, always, and every draw is the
// same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "engine/sampler.h"
#include "support/bytes.h"

namespace st {
namespace {

using testkit::error_of;

constexpr float kInf = std::numeric_limits<float>::infinity();

// The rules of the chain and the draw, as plainly as they can be written.
class Plain {
 public:
  explicit Plain(const SamplerOptions& options) : o_(options), generator_(options.seed) {}

  Token sample(const std::vector<float>& logits) {
    c_.clear();
    for (size_t i = 0; i < logits.size(); ++i) c_.push_back({static_cast<Token>(i), logits[i]});
    for (const SamplerKind kind : o_.chain) {
      sort();
      apply(kind);
    }
    sort();
    if (o_.temperature <= 0) c_.resize(1);
    const std::vector<double> p = probabilities();
    const auto lo = static_cast<double>(generator_());
    const auto hi = static_cast<double>(generator_());
    double held = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      held += p[i];
      if (held >= (lo + hi * 0x1p32) * 0x1p-64) return c_[i].id;
    }
    return c_[0].id;
  }

 private:
  struct Item {
    Token id;
    float logit;
  };

  void sort() {
    std::sort(c_.begin(), c_.end(), [](const Item& a, const Item& b) {
      return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
    });
  }

  std::vector<double> probabilities() const {
    std::vector<double> p;
    double sum = 0;
    for (const Item& item : c_) {
      p.push_back(std::exp(static_cast<double>(item.logit) - c_[0].logit));
      sum += p.back();
    }
    for (double& value : p) value /= sum;
    return p;
  }

  void keep_until(const std::vector<size_t>& order, auto&& enough) {
    const std::vector<double> p = probabilities();
    std::vector<Item> kept;
    double held = 0;
    for (const size_t i : order) {
      kept.push_back(c_[i]);
      held += p[i];
      if (enough(held)) break;
    }
    c_ = kept;
  }

  void apply(SamplerKind kind) {
    std::vector<size_t> order(c_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (kind == SamplerKind::kTopK && o_.top_k > 0) {
      c_.resize(std::min(c_.size(), static_cast<size_t>(o_.top_k)));
    } else if (kind == SamplerKind::kTopP && o_.top_p < 1) {
      keep_until(order, [&](double held) { return held >= o_.top_p; });
    } else if (kind == SamplerKind::kTypicalP && o_.typical_p < 1) {
      const std::vector<double> p = probabilities();
      double entropy = 0;
      for (const double value : p) entropy -= value > 0 ? value * std::log(value) : 0;
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return std::abs(-std::log(p[a]) - entropy) < std::abs(-std::log(p[b]) - entropy);
      });
      keep_until(order, [&](double held) { return held > o_.typical_p; });
    } else if (kind == SamplerKind::kMinP && o_.min_p > 0) {
      const float least = c_[0].logit + std::log(o_.min_p);
      if (c_[0].logit < least) return;
      std::erase_if(c_, [&](const Item& item) { return item.logit < least; });
    } else if (kind == SamplerKind::kTemperature && o_.temperature <= 0) {
      c_.resize(1);
    } else if (kind == SamplerKind::kTemperature) {
      for (Item& item : c_) item.logit /= o_.temperature;
    }
  }

  SamplerOptions o_;
  std::mt19937 generator_;
  std::vector<Item> c_;
};

// Smooth ones, many ties, -infinity for most, all alike, two levels, one far above.
std::vector<float> logits_of(std::mt19937& random, size_t size) {
  std::vector<float> logits(size);
  std::normal_distribution<float> normal(0, 0.5f + static_cast<float>(random() % 8));
  const auto kind = random() % 6;
  for (float& x : logits) {
    x = normal(random);
    if (kind == 1) x = std::round(2 * x) / 2;
    if (kind == 2 && random() % 10 != 0) x = -kInf;
    if (kind == 3) x = 1.25f;
    if (kind == 4) x = x > 0 ? 0.5f : -0.0f;
  }
  if (kind == 5) logits[random() % size] = 60;
  if (std::ranges::max(logits) == -kInf) logits[0] = 0;
  return logits;
}

SamplerOptions options_of(std::mt19937& random) {
  using enum SamplerKind;
  const auto one_of = [&](auto... values) {
    const float list[] = {static_cast<float>(values)...};
    return list[random() % std::size(list)];
  };
  SamplerOptions o;
  o.seed = static_cast<uint32_t>(random());
  o.temperature = one_of(0, 0.1, 0.8, 1, 1.5, 30);
  o.top_k = static_cast<int32_t>(one_of(0, 1, 40, 1500, 1e9));
  o.top_p = one_of(0, 0.1, 0.5, 0.95, 0.999, 1);
  o.min_p = one_of(0, 1e-9, 0.05, 0.5, 2);
  o.typical_p = one_of(-1, 0, 0.2, 0.75, 0.95, 1);
  o.chain = {kTopK, kTypicalP, kTopP, kMinP, kTemperature};
  std::ranges::shuffle(o.chain, random);
  o.chain.resize(random() % 6);
  return o;
}

void expect_same(const SamplerOptions& options, const std::vector<float>& logits, int draws) {
  Sampler sampler(options);
  Plain plain(options);
  for (int i = 0; i < draws; ++i) {
    ASSERT_EQ(sampler.sample(logits), plain.sample(logits))
        << "V " << logits.size() << " temp " << options.temperature << " top_k " << options.top_k
        << " top_p " << options.top_p << " min_p " << options.min_p << " typical_p "
        << options.typical_p << " filters " << options.chain.size() << " seed " << options.seed;
  }
}

TEST(SamplerOrder, DrawsAreThoseOfSortingEverything) {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    const size_t size = 1 + random() % (round % 30 == 0 ? 6000 : 300);
    const std::vector<float> logits = logits_of(random, size);
    expect_same(options_of(random), logits, 3);
    if (HasFatalFailure()) return;
  }
}

TEST(SamplerOrder, AlsoInALargeVocabulary) {
  std::mt19937 random(8);
  for (int round = 0; round < 12; ++round) {
    expect_same(options_of(random), logits_of(random, 151'936), 1);
    if (HasFatalFailure()) return;
  }
}

TEST(SamplerOrder, EveryFilterAloneInALargeVocabulary) {
  using enum SamplerKind;
  std::mt19937 random(9);
  std::vector<float> logits(151'936);
  std::normal_distribution<float> normal(0, 3);
  for (float& x : logits) x = normal(random);
  for (const std::vector<SamplerKind>& chain :
       {std::vector<SamplerKind>{}, {kTopP}, {kTypicalP}, {kMinP}, {kTopK}}) {
    SamplerOptions o{.seed = 5, .temperature = 1, .top_k = 0, .typical_p = 0.9f, .chain = chain};
    expect_same(o, logits, 2);
  }
}

TEST(SamplerOrder, WhatIsNoNumberIsNotDrawn) {
  SamplerOptions o{.seed = 3, .temperature = 1, .chain = {}};
  const float nan = std::nanf("");
  EXPECT_EQ(Sampler(o).sample(std::vector<float>{nan, -kInf, 0.5f, -nan}), 2);
  o.temperature = 0;
  EXPECT_EQ(Sampler(o).sample(std::vector<float>{nan, 0.5f, 2, nan}), 2);
}

TEST(SamplerOrder, NothingToDrawIsAnError) {
  const SamplerOptions o{.seed = 3, .banned = {0, 1}};
  const char* none = "no token can be chosen: all are banned or have no logit";
  EXPECT_EQ(error_of([&] { Sampler(o).sample(std::vector<float>{1, 2}); }), none);
  EXPECT_EQ(error_of([&] { Sampler(o).sample(std::vector<float>{1, 2, -kInf}); }), none);
  EXPECT_EQ(error_of([&] { Sampler(o).sample({}); }), none);
}

// Dividing makes both infinite, and the first of equals is not the best.
TEST(SamplerOrder, TheLowestTemperaturesAreGreedy) {
  for (const float temperature : {1e-38f, 1e-45f}) {
    SamplerOptions o{.seed = 3, .temperature = temperature};
    o.chain = {SamplerKind::kTemperature};
    EXPECT_EQ(Sampler(o).sample(std::vector<float>{1, 4, 7, 5}), 2);
    EXPECT_EQ(Sampler(o).sample(std::vector<float>{-9, -4, -3, -5}), 2);
  }
}

TEST(SamplerOrder, PenaltiesWithoutBoundBanTokens) {
  SamplerOptions o{.seed = 3, .temperature = 1, .frequency_penalty = kInf};
  o.chain = {SamplerKind::kPenalties};
  o.repeat_penalty = 0;
  Sampler sampler(o);
  for (const Token token : {0, 1, 3}) sampler.accept(token);
  EXPECT_EQ(sampler.sample(std::vector<float>{8, 9, -5, 0}), 2);
}

}  // namespace
}  // namespace st
