// What matrices are multiplied with, as it is collected from a run.
#include "study/importance.h"

#include <gtest/gtest.h>

#include "engine/perplexity.h"
#include "golden/fixture.h"
#include "support/bytes.h"
#include "support/feed_at.h"
#include "support/test_page.h"

namespace st::golden {
namespace {

constexpr int64_t kWindow = 40;
constexpr const char* kMicro = "variants/micro-4b-style";

std::map<std::string, ImportanceSums> collect(const std::string& path, EngineOptions options,
                                              bool output = false) {
  options.context = kWindow;
  options.page = test_page();
  Engine engine(path, std::move(options));
  std::vector<Token> tokens;
  for (int64_t i = 0; i < 2 * kWindow; ++i) {
    tokens.push_back(static_cast<Token>((i * 7919 + 13) % engine.config().vocab));
  }
  Importance importance(engine.model(), output);
  engine.observe_inputs(&importance);
  perplexity(engine, tokens, kWindow, {});
  engine.observe_inputs(nullptr);
  perplexity(engine, tokens, kWindow, {});  // which nobody sees
  return importance.sums();
}

void expect_same(const std::map<std::string, ImportanceSums>& a,
                 const std::map<std::string, ImportanceSums>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, sums] : a) {
    EXPECT_EQ(sums.counts, b.at(name).counts) << name;
    EXPECT_EQ(sums.squares, b.at(name).squares) << name;
  }
}

// Also within a budget, where routers are asked for guesses, too.
TEST(Importance, DoesNotDependOnThreadsBatchesAndMemory) {
  for (const bool transposed : {false, true}) {
    const std::string path = converted(kMicro, DType::kQ8_0, transposed);
    const auto want = collect(path, {.threads = 1, .micro_batch = 7});
    expect_same(want, collect(path, {.threads = 2, .micro_batch = 64}));
    EngineOptions limited{.threads = 2, .micro_batch = 16, .memory = uint64_t{1} << 30};
    expect_same(want, collect(path, limited));
  }
}

TEST(Importance, EveryMatrixOfALayerIsSeen) {
  const std::string path = converted(kMicro, DType::kF32, false);
  const auto sums = collect(path, {.threads = 2});
  const GgufModel model(path);
  size_t matrices = 0;
  for (const auto& [info, source] : model.tensors()) {
    if (!info->name.starts_with("blk.") || info->ne.size() < 2) continue;
    ++matrices;
    ASSERT_TRUE(sums.contains(info->name)) << info->name;
    const ImportanceSums& seen = sums.at(info->name);
    ASSERT_EQ(seen.counts.size(), info->dim(2)) << info->name;
    EXPECT_EQ(seen.squares.size(), info->dim(0) * info->dim(2)) << info->name;
    int64_t rows = 0;
    for (const int64_t count : seen.counts) rows += count;
    const bool experts = info->dim(2) > 1;
    const auto used =
        static_cast<int64_t>(model.metadata().get_u32("smallthinker.expert_used_count"));
    EXPECT_EQ(rows, 2 * kWindow * (experts ? used : 1)) << info->name;
  }
  EXPECT_EQ(sums.size(), matrices);
  const auto with_output = collect(path, {.threads = 2}, true);
  EXPECT_EQ(with_output.size(), matrices + 1);
}

// Sums count in a budget before a weight is read, and no more are there than counted.
TEST(Importance, SumsCountInABudget) {
  const std::string path = converted(kMicro, DType::kQ8_0, true);
  EngineOptions options{
      .threads = 1, .context = kWindow, .memory = uint64_t{1} << 20, .page = test_page()};
  const auto least = [&] {
    const std::string error = testkit::error_of([&] { Engine(path, options); });
    const std::string before = "in every run, ";
    return std::stoull(error.substr(error.find(before) + before.size()));
  };
  const uint64_t without = least();
  options.beside = [](const Model&) { return uint64_t{100} << 20; };
  EXPECT_NEAR(static_cast<double>(least()), static_cast<double>(without + 100), 2);

  const Engine engine(path);
  uint64_t taken = 0;
  for (const auto& [name, sums] : collect(path, {.threads = 2}, true)) {
    taken += sums.squares.size() * sizeof(double) + sums.counts.size() * sizeof(int64_t);
  }
  const uint64_t told = Importance::bytes(engine.model(), true);
  EXPECT_LE(taken, told);
  EXPECT_LE(told, taken + taken / 8);
}

}  // namespace
}  // namespace st::golden
