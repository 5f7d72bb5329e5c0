// What only Gemma 3n has: gates that are cut, layers without keys, rows of a table that stays in
// the file.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "families/fixture.h"
#include "support/bytes.h"
#include "support/feed_at.h"
#include "support/temporary_folder.h"

namespace st::families {
namespace {

using nlohmann::json;

std::vector<std::string> gemmas() {
  std::vector<std::string> folders = kFolders;
  std::erase_if(folders, [](const std::string& f) { return !f.starts_with("micro-gemma3n"); });
  return folders;
}

class Gemma3n : public testing::TestWithParam<std::string> {
 protected:
  // "long100", the ids of a text of about 100 tokens.
  std::vector<Token> text() const {
    for (const json& prompt : read_golden(GetParam())["prompts"]) {
      if (prompt["name"] == "long100") return prompt["ids"];
    }
    return {};
  }
  Engine engine(DType type = DType::kF32) const {
    return Engine(converted(GetParam(), type), {.threads = 2, .sequences = 3});
  }
};

std::vector<float> logits(Engine& engine, std::span<const Token> tokens, int64_t from, bool all,
                          SequenceId id = 0) {
  const auto rows = engine.evaluate(testkit::feed_at(engine, tokens, from, all, id));
  return {rows.begin(), rows.end()};
}

// As many gates are above their cutoffs as the reference says, and only they are used.
TEST_P(Gemma3n, CutsAsManyGatesAsTheReference) {
  Engine engine = this->engine();
  for (const json& prompt : read_golden(GetParam())["prompts"]) {
    const auto ids = prompt["ids"].get<std::vector<Token>>();
    engine.reset_stats();
    logits(engine, ids, 0, true);
    double want = 0, all = 0;
    for (int64_t l = 0; l < engine.config().layers; ++l) {
      const Ffn& ffn = engine.config().ffn(l);
      const json& share = prompt["active_gate_fraction"];
      const std::string key = std::to_string(l);
      EXPECT_EQ(share.contains(key), ffn.cuts()) << l;
      const double gates = static_cast<double>(ffn.width) * static_cast<double>(ids.size());
      want += gates * (ffn.cuts() ? share[key].get<double>() : 1);
      all += gates;
    }
    EXPECT_EQ(static_cast<double>(engine.stats().neurons), all) << prompt["name"];
    // Shares are rounded; a gate within rounding of its cutoff may count.
    EXPECT_NEAR(static_cast<double>(engine.stats().active_neurons), want, 1 + all * 1e-5)
        << prompt["name"];
  }
}

// A gate above its cutoff costs a row of up and one of down, where down is regrouped by neuron, and
// what is cut costs nothing.
TEST_P(Gemma3n, ReadsNoRowsOfGatesThatAreCut) {
  Engine engine = this->engine(DType::kQ8_0);
  const auto D = static_cast<uint64_t>(engine.config().hidden);
  const std::vector<ExpertLayer>& layers = engine.model().weights().experts;
  for (int64_t l = 0; l < engine.config().layers; ++l) {
    EXPECT_EQ(layers[static_cast<size_t>(l)].layout,
              engine.config().ffn(l).cuts() ? DownLayout::kRegrouped : DownLayout::kOutputs);
  }
  const auto cost_of = [&](Token token) {
    engine.reset_stats();
    logits(engine, {&token, 1}, 0, false);
    return engine.stats();
  };
  const Stats first = cost_of(100);
  const auto cut = std::ranges::find(layers, DownLayout::kRegrouped, &ExpertLayer::layout);
  const uint64_t row = cut->up.prototype.stride() + cut->down.prototype.stride();
  int others = 0;
  for (Token token = 101; token < 120; ++token) {
    const Stats stats = cost_of(token);
    const uint64_t more = stats.active_neurons - first.active_neurons;  // or fewer, modulo 2^64
    EXPECT_EQ(stats.weight_bytes - first.weight_bytes, more * row) << token;
    EXPECT_EQ(stats.multiply_adds - first.multiply_adds, more * 2 * D) << token;
    others += more != 0;
  }
  EXPECT_GT(others, 5);
}

// Layers that read the keys of others are for tokens whose logits are wanted.
TEST_P(Gemma3n, LayersWithoutKeysComputeWhatIsWanted) {
  Engine engine = this->engine();
  const auto ids = text();
  uint64_t with_keys = 0, without = 0;
  for (const LayerConfig& layer : engine.config().layer) {
    (layer.owns_kv() ? with_keys : without) += static_cast<uint64_t>(layer.ffn.width);
  }
  const uint64_t T = ids.size();
  const auto neurons = [&](const Feed& feed) {
    engine.reset_stats();
    engine.evaluate(feed);
    return engine.stats().neurons;
  };
  const std::vector<float> all = logits(engine, ids, 0, true);
  const std::vector<float> last = logits(engine, ids, 0, false);
  EXPECT_TRUE(std::ranges::equal(last, std::span(all).last(last.size())));
  EXPECT_EQ(neurons(testkit::feed_at(engine, ids, 0, true)), T * (with_keys + without));
  EXPECT_EQ(neurons(testkit::feed_at(engine, ids, 0, false)), T * with_keys + without);
  Feed none = testkit::feed_at(engine, ids, 0);
  none.logits = Wanted::kNone;
  EXPECT_EQ(neurons(none), T * with_keys);
  const Token next = 77;
  const std::vector<float> after = logits(engine, {&next, 1}, static_cast<int64_t>(T), false);
  logits(engine, ids, 0, true);
  EXPECT_EQ(logits(engine, {&next, 1}, static_cast<int64_t>(T), false), after);
}

// Whatever else is in memory, the table of embeddings by layer is not.
TEST_P(Gemma3n, TheTableStaysInTheFile) {
  const Engine engine = this->engine();
  const WeightStore& store = engine.model().store();
  const MatrixRows& table = engine.model().weights().token_rows;
  EXPECT_EQ(table.matrix.data, nullptr);
  EXPECT_EQ(store.streamed_bytes(), table.matrix.bytes());
}

// The same file with another table of embeddings by layer: change(rows, bytes of one).
void write_with_table(const std::string& from, const std::string& to,
                      const std::function<void(std::string& rows, size_t row)>& change) {
  const GgufModel model(from);
  GgufWriter out;
  for (const GgufEntry& entry : model.metadata().entries()) out.set(entry.key, entry.value);
  std::vector<std::string> data;
  for (const auto& [info, source] : model.tensors()) {
    std::string bytes(info->bytes, '\0');
    source->read_at(info->offset, std::as_writable_bytes(std::span(bytes)));
    std::vector<uint64_t> ne = info->ne;
    if (info->name == "per_layer_token_embd.weight") {
      const size_t row = info->bytes / ne[1];
      change(bytes, row);
      ne[1] = bytes.size() / row;
    }
    out.add_tensor(info->name, info->type, ne);
    data.push_back(std::move(bytes));
  }
  out.begin(to);
  for (const std::string& bytes : data) out.write(std::as_bytes(std::span(bytes)));
  out.finish();
}

// Without the rows at its end, all like its first, that the converter fills the table up with.
// Returns how many those are.
int64_t write_with_short_table(const std::string& from, const std::string& to) {
  int64_t cut = 0;
  write_with_table(from, to, [&](std::string& rows, size_t row) {
    for (const std::string first = rows.substr(0, row); rows.ends_with(first); ++cut) {
      rows.erase(rows.size() - row);
    }
  });
  return cut;
}

TEST_P(Gemma3n, ATableOfMoreTokensThanThereAreIsRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "long.gguf";
  write_with_table(converted(GetParam(), DType::kF32), path,
                   [](std::string& rows, size_t row) { rows.append(row, '\0'); });
  const int64_t vocab = engine().config().vocab;
  EXPECT_EQ(testkit::error_of([&] { Engine{path}; }),
            fmt::format("tensor 'per_layer_token_embd.weight': {} rows for a vocabulary of {}",
                        vocab + 1, vocab));
}

TEST_P(Gemma3n, TokensOutsideTheTableHaveItsFirstRow) {
  const TemporaryFolder folder;
  const std::string whole = converted(GetParam(), DType::kF32), cut = folder / "short.gguf";
  const int64_t outside = write_with_short_table(whole, cut);
  ASSERT_GT(outside, 0);
  Engine engine(whole), other(cut);
  const auto last = static_cast<Token>(engine.config().vocab - 1);
  EXPECT_EQ(other.model().weights().token_rows.matrix.rows, last + 1 - outside);
  const std::vector<Token> tokens = {5, last, 7, static_cast<Token>(last - outside + 1), 0, last};
  EXPECT_EQ(logits(other, tokens, 0, true), logits(engine, tokens, 0, true));
}

// Rows are read while the engine runs, without a budget too: of the file that was opened, or not at
// all.
TEST_P(Gemma3n, AFileThatIsWrittenToIsAnError) {
  const TemporaryFolder folder;
  const std::string path = folder / "model.gguf";
  std::filesystem::copy(converted(GetParam(), DType::kF32), path);
  Engine engine(path);
  const std::vector<Token> few = {5, 6, 7};
  const std::vector<float> before = logits(engine, few, 0, false);
  std::ofstream(path, std::ios::app) << 'x';
  EXPECT_EQ(testkit::error_of([&] { logits(engine, few, 0, false); }),
            path + ": the file was changed while in use");
}

// A conversation that is forked, saved and read again goes on as it would have.
TEST_P(Gemma3n, SequencesGoOn) {
  Engine engine = this->engine();
  const auto ids = text();
  const std::span<const Token> begin = std::span(ids).first(60), rest = std::span(ids).subspan(60);
  KvPool& cache = engine.cache();
  logits(engine, begin, 0, false);
  const SequenceId fork = cache.fork(0, 60);
  const std::vector<int64_t> first(cache.tile_groups().size());
  const SequenceId read = cache.create();
  engine.restore(read, 60, first, [&](size_t group, int64_t tile, auto out) {
    cache.copy_tile(0, group, tile, out);
  });
  const std::vector<float> want = logits(engine, rest, 60, true);
  for (const SequenceId id : {fork, read}) {
    EXPECT_EQ(logits(engine, rest, 60, true, id), want) << id;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Gemma3n, testing::ValuesIn(gemmas()),
                         [](const auto& param) { return test_name(param.param); });

}  // namespace
}  // namespace st::families
