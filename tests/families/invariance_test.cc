// The families' logits do not depend on threads, micro-batches, splits of a prompt, company or
// memory, to the bit.
#include <gtest/gtest.h>

#include <algorithm>

#include "families/fixture.h"
#include "kernels/kernels.h"
#include "study/verify.h"
#include "support/feed_at.h"
#include "support/test_page.h"

namespace st::families {
namespace {

constexpr int64_t kTokens = 150;

struct Case {
  std::string folder;
  DType type;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const std::string& folder : kFolders) {
    for (const DType type : {DType::kF32, DType::kQ8_0, DType::kQ4_0}) {
      cases.push_back({folder, type});
    }
  }
  return cases;
}

class Invariance : public testing::TestWithParam<Case> {
 protected:
  std::string path() const { return converted(GetParam().folder, GetParam().type); }
};

TEST_P(Invariance, ThreadsBatchesAndSplits) {
  const int64_t threads[] = {1, 3}, micro_batches[] = {7, 512};
  for (const KernelTable* table : usable_kernels()) {
    std::vector<uint64_t> want;
    for (const VerifyCase& c : verify_cases(threads, micro_batches, {})) {
      Engine engine(path(), {.threads = c.threads,
                             .micro_batch = c.micro_batch,
                             .kernels = std::string(table->name)});
      const auto tokens = verify_tokens(engine.tokenizer(), kTokens);
      const auto got = hash_logits(engine, tokens, c.split);
      if (want.empty()) want = got;
      EXPECT_EQ(first_difference(want, got), std::nullopt)
          << table->name << " -t " << c.threads << " -ub " << c.micro_batch << " "
          << split_name(c.split);
    }
  }
}

TEST_P(Invariance, Memory) {
  EngineOptions options{.threads = 2, .context = kTokens + 6};
  std::vector<uint64_t> want;
  {
    Engine engine(path(), options);
    want = hash_logits(engine, verify_tokens(engine.tokenizer(), kTokens), PromptSplit::kWhole);
  }
  options.memory = uint64_t{1} << 30;
  options.page = test_page();
  for (const int64_t micro_batch : {1, 64}) {
    options.micro_batch = micro_batch;
    Engine engine(path(), options);
    const auto tokens = verify_tokens(engine.tokenizer(), kTokens);
    const MemoryPlan plan = engine.memory()->plan;
    // Just what one token needs in a layer; half; more than everything.
    for (const int64_t room : {plan.fewest, plan.experts / 2, plan.experts + 9}) {
      if (room < plan.fewest) continue;
      engine.set_memory(budget_for(plan, plan.tokens, room));
      EXPECT_EQ(first_difference(want, hash_logits(engine, tokens, PromptSplit::kUneven)),
                std::nullopt)
          << "room for " << room << ", -ub " << micro_batch;
    }
  }
}

// Each of several conversations in one batch computes what it computes alone.
TEST_P(Invariance, Company) {
  constexpr size_t kChats = 3, kLength = 20;
  Engine engine(path(), {.threads = 2, .sequences = kChats + 1});
  const auto tokens = verify_tokens(engine.tokenizer(), kTokens);
  const auto V = static_cast<size_t>(engine.config().vocab);
  const auto part = [&](size_t chat) { return std::span(tokens).subspan(31 * chat, kLength); };
  std::vector<std::vector<float>> alone;
  for (size_t chat = 0; chat < kChats; ++chat) {
    const auto rows = engine.evaluate(testkit::feed_at(engine, part(chat), 0, true));
    alone.emplace_back(rows.begin(), rows.end());
  }
  std::vector<SequenceId> ids;
  for (size_t chat = 0; chat < kChats; ++chat) ids.push_back(engine.cache().create());
  for (size_t i = 0; i < kLength; ++i) {
    std::vector<Feed> feeds;
    for (size_t chat = 0; chat < kChats; ++chat) {
      feeds.push_back({ids[chat], part(chat).subspan(i, 1)});
    }
    const auto outcomes = engine.evaluate(feeds);
    for (size_t chat = 0; chat < kChats; ++chat) {
      EXPECT_TRUE(
          std::ranges::equal(outcomes[chat].logits, std::span(alone[chat]).subspan(i * V, V)))
          << chat << " " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Invariance, testing::ValuesIn(all_cases()),
                         [](const auto& test) {
                           return test_name(test.param.folder) + "_" +
                                  std::string(dtype_name(test.param.type));
                         });

}  // namespace
}  // namespace st::families
