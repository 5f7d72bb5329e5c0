// What only Qwen3 has: rotation by YaRN, and layers of a dense model that stream.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "convert/bundle_file.h"
#include "convert/convert.h"
#include "families/fixture.h"
#include "format/gguf_model.h"
#include "support/feed_at.h"
#include "support/shipped.h"
#include "support/temporary_folder.h"
#include "support/test_page.h"

namespace st::families {
namespace {

std::vector<Token> some_tokens(int n) {
  std::vector<Token> ids;
  for (int i = 0; i < n; ++i) ids.push_back(static_cast<Token>(i * 37 % 480));
  return ids;
}

// From configuration to logits: those of models/reference/reference_qwen3.py whose rope() had the
// frequencies and the magnitude that transformers computes.
TEST(Qwen3, Yarn) {
  const TemporaryFolder folder;
  const std::string model = folder / "model", file = folder / "yarn.gguf";
  std::filesystem::copy(testkit::shipped_model("micro-qwen3"), model);
  nlohmann::json config = nlohmann::json::parse(std::ifstream(model + "/config.json"));
  config["rope_scaling"] = {
      {"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 64}};
  std::ofstream(model + "/config.json") << config;
  convert_hf({.folder = model, .outfile = file, .type = DType::kF32});

  Engine engine(file, {});
  const auto logits = engine.evaluate(testkit::feed_at(engine, some_tokens(200), 0, true));
  constexpr size_t kIds[] = {0, 7, 100, 255, 301, 411};
  const std::pair<size_t, std::vector<double>> rows[] = {
      {0, {-0.37707, 3.32469, 0.84606, -8.22853, -0.95804, -1.02586}},
      {63, {5.95627, 3.21405, -0.00734, 1.33776, 5.7423, 5.6657}},
      {120, {-1.36446, -4.7861, -6.85627, 3.7305, 0.1327, 1.62039}},
      {199, {5.70822, -6.75616, 2.99605, 5.61099, 3.97304, -3.57724}}};
  for (const auto& [row, want] : rows) {
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_NEAR(logits[row * 512 + kIds[i]], want[i], 2e-3) << row << " " << kIds[i];
    }
  }
}

// A token has those layers read that there is no room for, and none twice.
TEST(Qwen3, LayersStreamWithinABudget) {
  constexpr int kSteps = 10;
  const auto ids = some_tokens(40 + 2 * kSteps);
  Engine engine(converted("micro-qwen3", DType::kQ8_0),
                {.threads = 2, .context = 128, .memory = uint64_t{1} << 30, .page = test_page()});
  const MemoryPlan plan = engine.memory()->plan;
  EXPECT_EQ(plan.units, "layers");
  EXPECT_EQ(plan.experts, 4);
  EXPECT_EQ(plan.fewest, 1);
  const ExpertLayer& layer = engine.model().weights().experts.front();
  const uint64_t bytes = layer.gate.file.bytes + layer.up.file.bytes + layer.down.file.bytes;
  for (const int64_t room : {1, 2, 3, 4}) {
    engine.set_memory(budget_for(plan, 8, room));
    engine.evaluate(testkit::feed_at(engine, std::span(ids).first(40), 0));
    CachedExpertsStats before;
    for (int i = 0; i < 2 * kSteps; ++i) {
      if (i == kSteps) before = engine.memory()->experts;
      const Token& token = ids[static_cast<size_t>(40 + i)];
      engine.evaluate(testkit::feed_at(engine, {&token, 1}, 40 + i));
    }
    ASSERT_EQ(engine.memory()->slots, room);
    const CachedExpertsStats after = engine.memory()->experts;
    const uint64_t streamed =
        room == 4 ? 0 : static_cast<uint64_t>(4 - std::max<int64_t>(0, room - 2));
    // Two may be on their way at either end.
    const uint64_t read = after.bytes_read - before.bytes_read, under_way = streamed > 0 ? 2 : 0;
    EXPECT_GE(read, (kSteps * streamed - under_way) * bytes) << room;
    EXPECT_LE(read, (kSteps * streamed + under_way) * plan.expert) << room;
    EXPECT_EQ(after.asked - before.asked, 4u * kSteps);
    EXPECT_EQ(after.asked - before.asked,
              after.found - before.found + after.foreseen - before.foreseen)
        << room;
  }
}

// Of layers that differ in their number of experts, too.
TEST(Qwen3, BundlesAreTheModel) {
  const TemporaryFolder folder;
  for (const std::string model : {"micro-qwen3", "micro-qwen3moe-odd"}) {
    const std::string file = converted(model, DType::kQ8_0), bundle = folder / "bundle.gguf";
    const BundleResult result = write_bundle({.input = file, .output = bundle});
    EXPECT_EQ(result.units, model == "micro-qwen3" ? "layers" : "experts");
    EXPECT_EQ(result.experts, model == "micro-qwen3" ? 4u : 2 * 6 + 4u);
    EXPECT_FALSE(GgufModel(bundle).find("blk.0.ffn_gate.weight"));
    const auto logits = [](const std::string& path, uint64_t memory) {
      Engine engine(path, {.threads = 2, .context = 64, .memory = memory, .page = test_page()});
      if (memory > 0) engine.set_memory(budget_for(engine.memory()->plan, 8, 2));
      const auto rows = engine.evaluate(testkit::feed_at(engine, some_tokens(30), 0, true));
      return std::vector<float>(rows.begin(), rows.end());
    };
    const auto want = logits(file, 0);
    EXPECT_EQ(logits(bundle, 0), want) << model;
    EXPECT_EQ(logits(bundle, uint64_t{1} << 30), want) << model;
  }
}

}  // namespace
}  // namespace st::families
