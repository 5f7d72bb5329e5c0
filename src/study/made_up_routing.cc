#include "study/made_up_routing.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace st {
namespace {

constexpr double kTopicTokens = 200;  // that a topic lasts, on average
constexpr double kTraded = 0.3;       // share of the ranks that a new topic trades for others
constexpr double kCorrelation = 0.6;

// What rank i of E adds to the score, in deviations. Chosen so that the frequencies come out as
// the header says; routing_trace_test checks them.
double rank_score(int64_t i, int64_t E, int64_t used) {
  const double hot = static_cast<double>(E) * 7 / 32;
  const double at = static_cast<double>(i);
  // The more experts there are for each that is used, the higher a hot one has to stand out.
  const double edge = static_cast<double>(E) / static_cast<double>(used) > 9 ? 0.35 : 0;
  if (at < hot) return 1.75 + edge - 0.56 * at / hot;
  return 0.45 - 0.84 * (at - hot) / (static_cast<double>(E) - hot);
}

class Generator {
 public:
  Generator(const RoutingShape& shape, MadeUpKind kind, uint64_t seed)
      : shape_(shape),
        kind_(kind),
        random_(seed),
        expert_(static_cast<size_t>(shape.layers * shape.experts)),
        deviate_(expert_.size()) {
    for (int64_t l = 0; l < shape_.layers; ++l) {
      const auto row = experts(l);
      std::iota(row.begin(), row.end(), uint16_t{0});
      std::ranges::shuffle(row, random_);
    }
    for (double& deviate : deviate_) deviate = normal_(random_);
  }

  // (layers, used)
  std::vector<uint16_t> token() {
    const bool drifts = kind_ == MadeUpKind::kDrifting || kind_ == MadeUpKind::kSticky;
    if (drifts && uniform_(random_) * kTopicTokens < 1) change_topic();
    std::vector<uint16_t> chosen;
    for (int64_t l = 0; l < shape_.layers; ++l) choose(l, chosen);
    return chosen;
  }

 private:
  std::span<uint16_t> experts(int64_t l) {  // by rank
    const auto E = static_cast<size_t>(shape_.experts);
    return std::span(expert_).subspan(static_cast<size_t>(l) * E, E);
  }

  void change_topic() {
    for (int64_t l = 0; l < shape_.layers; ++l) {
      const auto row = experts(l);
      for (uint16_t& expert : row) {
        if (uniform_(random_) < kTraded) std::swap(expert, row[random_() % row.size()]);
      }
    }
  }

  void choose(int64_t l, std::vector<uint16_t>& chosen) {
    const auto row = experts(l);
    const double memory = kind_ == MadeUpKind::kSticky ? kCorrelation : 0;
    std::vector<std::pair<double, uint16_t>> scores;
    for (size_t i = 0; i < row.size(); ++i) {
      double& deviate = deviate_[static_cast<size_t>(l * shape_.experts) + row[i]];
      deviate = memory * deviate + std::sqrt(1 - memory * memory) * normal_(random_);
      const double rank = kind_ == MadeUpKind::kUniform
                              ? 0
                              : rank_score(static_cast<int64_t>(i), shape_.experts, shape_.used);
      scores.emplace_back(-(rank + deviate), row[i]);
    }
    std::ranges::partial_sort(scores, scores.begin() + shape_.used);
    for (int64_t j = 0; j < shape_.used; ++j) {
      chosen.push_back(scores[static_cast<size_t>(j)].second);
    }
  }

  RoutingShape shape_;
  MadeUpKind kind_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
  std::uniform_real_distribution<double> uniform_;
  std::vector<uint16_t> expert_;  // (layers, experts) by rank
  std::vector<double> deviate_;   // (layers, experts)
};

}  // namespace

std::optional<MadeUpKind> parse_made_up_kind(std::string_view name) {
  if (name == "uniform") return MadeUpKind::kUniform;
  if (name == "published") return MadeUpKind::kPublished;
  if (name == "drifting") return MadeUpKind::kDrifting;
  if (name == "sticky") return MadeUpKind::kSticky;
  return std::nullopt;
}

RoutingTrace make_up_routing(const RoutingShape& shape, MadeUpKind kind, int64_t tokens,
                             uint64_t seed) {
  RoutingTrace trace(shape);
  Generator generator(shape, kind, seed);
  for (int64_t t = 0; t < tokens; ++t) trace.add_pass(1, generator.token());
  return trace;
}

std::optional<RoutingShape> released_shape(std::string_view name) {
  // Bytes: 768 rows of 1536 or 2560 values, 18 bytes per 32.
  if (name == "4b") return RoutingShape{32, 32, 4, 663'552, 2 * 663'552};
  if (name == "21b") return RoutingShape{52, 64, 6, 1'105'920, 2 * 1'105'920};
  return std::nullopt;
}

}  // namespace st
