// Against the references of the families in F32: logits, layers, experts and greedy text.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "families/fixture.h"
#include "support/feed_at.h"

namespace st::families {
namespace {

using nlohmann::json;

constexpr double kBar = 2e-3;        // of logits and hidden values
constexpr double kMarginBar = 5e-3;  // below this a reference itself is close to a tie
constexpr double kSumBar = 1e-5;     // of sums over all tokens, relative,
constexpr double kSumDigits = 1e-3;  // and what is left of them in the file

// What one pass over a prompt shows.
struct Seen {
  std::vector<float> logits;                         // (T, V)
  std::map<std::string, std::vector<float>> layers;  // (T, D) each, by the references' names
  std::map<int64_t, std::vector<int32_t>> experts;   // (T, k) of layers with a router
};

Seen run(Engine& engine, const std::vector<Token>& ids) {
  Seen seen;
  engine.observe([&](std::string_view what, int64_t layer, std::span<const float> values) {
    const std::string name =
        what == "layer" ? fmt::format("layer{}.out", layer) : std::string(what);
    seen.layers[name] = {values.begin(), values.end()};
  });
  engine.observe_routing([&](int64_t layer, std::span<const int32_t> chosen) {
    seen.experts[layer] = {chosen.begin(), chosen.end()};
  });
  const auto logits = engine.evaluate(testkit::feed_at(engine, ids, 0, true));
  seen.logits = {logits.begin(), logits.end()};
  engine.observe({});
  engine.observe_routing({});
  return seen;
}

// Of models with several streams the first is what observers see.
double of_first_stream(const json& numbers) {
  return numbers.is_array() ? numbers[0].get<double>() : numbers.get<double>();
}

double l2(std::span<const float> values) {
  double sum = 0;
  for (const double x : values) sum += x * x;
  return std::sqrt(sum);
}

double abs_sum(std::span<const float> values) {
  double sum = 0;
  for (const double x : values) sum += std::abs(x);
  return sum;
}

class Golden : public testing::TestWithParam<std::string> {
 protected:
  void expect_logits(const json& prompt, const Seen& seen) {
    const auto V = static_cast<size_t>(engine.config().vocab);
    const auto T = prompt["n"].get<size_t>();
    ASSERT_EQ(seen.logits.size(), T * V);
    const auto logit = [&](size_t row, size_t id) { return seen.logits[row * V + id]; };
    const json& sampled = prompt["sampled"];
    for (size_t i = 0; i < sampled["rows"].size(); ++i) {
      const auto row = sampled["rows"][i].get<size_t>();
      for (size_t j = 0; j < sampled["ids"].size(); ++j) {
        near(logit(row, sampled["ids"][j]), sampled["logits"][i][j], "sampled");
      }
    }
    for (const json& best : prompt["top10"]) near(logit(T - 1, best["id"]), best["logit"], "top10");
    const json rows = prompt.value("full_rows", json::object());
    for (const auto& [row, values] : rows.items()) {
      ASSERT_EQ(values.size(), V);
      for (size_t id = 0; id < V; ++id) near(logit(std::stoul(row), id), values[id], "row");
    }
    for (size_t t = 0; t < T; ++t) {
      if (prompt["argmax_margin"][t] <= kMarginBar) continue;
      const auto row = seen.logits.begin() + static_cast<ptrdiff_t>(t * V);
      EXPECT_EQ(std::max_element(row, row + static_cast<ptrdiff_t>(V)) - row, prompt["argmax"][t])
          << name << " " << t;
    }
  }

  void expect_layers(const json& prompt, const Seen& seen) {
    const auto D = static_cast<size_t>(engine.config().hidden);
    for (const json& want : prompt["layers"]) {
      auto at = want["at"].get<std::string>();
      if (at == "streams") at = "embed";  // the first of them
      ASSERT_TRUE(seen.layers.contains(at)) << at;
      const std::span<const float> all = seen.layers.at(at), last = all.last(D);
      ASSERT_EQ(all.size(), prompt["n"].get<size_t>() * D) << at;
      near(l2(last), of_first_stream(want["last_l2"]), at);
      const double sum = of_first_stream(want["abs_sum"]);
      EXPECT_NEAR(abs_sum(all), sum, kSumDigits + kSumBar * sum) << name << " " << at;
      for (size_t i = 0; i < 4; ++i) near(last[i], want["last_first4"][i], at);
    }
  }

  void expect_experts(const json& prompt, const Seen& seen) {
    const json& last = prompt["experts_last"];
    EXPECT_EQ(seen.experts.size(), last.size());
    for (const auto& [layer, want] : last.items()) {
      const std::vector<int32_t>& chosen = seen.experts.at(std::stol(layer));
      const auto ids = want["ids"].get<std::vector<int32_t>>();
      EXPECT_TRUE(std::ranges::equal(std::span(chosen).last(ids.size()), ids)) << name << layer;
    }
    const json all = prompt.value("experts_all", json::object());
    for (const auto& [layer, tokens] : all.items()) {
      std::vector<int32_t> want;
      for (const json& ids : tokens) want.insert(want.end(), ids.begin(), ids.end());
      EXPECT_EQ(seen.experts.at(std::stol(layer)), want) << name << " " << layer;
    }
  }

  void near(double got, double want, std::string_view what) {
    EXPECT_NEAR(got, want, kBar) << name << " " << what;
  }

  const json& golden = read_golden(GetParam());
  Engine engine{converted(GetParam(), DType::kF32), {.threads = 2}};
  std::string name;  // of the prompt at hand
};

TEST_P(Golden, EveryPrompt) {
  ASSERT_GE(golden["prompts"].size(), 10u);
  for (const json& prompt : golden["prompts"]) {
    name = prompt["name"];
    const Seen seen = run(engine, prompt["ids"]);
    expect_logits(prompt, seen);
    expect_layers(prompt, seen);
    if (prompt.contains("experts_last")) expect_experts(prompt, seen);
  }
}

TEST_P(Golden, GreedyText) {
  for (const json& prompt : golden["prompts"]) {
    auto ids = prompt["ids"].get<std::vector<Token>>();
    const size_t begin = ids.size();
    size_t known = 0;
    std::vector<Token> text;
    for (size_t i = 0; i < prompt["greedy"]["ids"].size(); ++i) {
      const auto logits = engine.evaluate(
          testkit::feed_at(engine, std::span(ids).subspan(known), static_cast<int64_t>(known)));
      known = ids.size();
      ids.push_back(static_cast<Token>(std::ranges::max_element(logits) - logits.begin()));
    }
    text.assign(ids.begin() + static_cast<ptrdiff_t>(begin), ids.end());
    EXPECT_EQ(text, prompt["greedy"]["ids"].get<std::vector<Token>>()) << prompt["name"];
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Golden, testing::ValuesIn(kFolders),
                         [](const auto& folder) { return test_name(folder.param); });

}  // namespace
}  // namespace st::families
