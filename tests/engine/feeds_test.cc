// Conversations evaluated together: each is what it is alone, to the bit, and fails alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/engine.h"
#include "golden/fixture.h"
#include "shapes/made_model.h"
#include "support/bytes.h"
#include "support/feed_at.h"
#include "support/temporary_folder.h"

namespace st {
namespace {

using testkit::error_of;

constexpr Token kPoison = 7;  // its row of the embedding is infinite

std::vector<Token> some_tokens(size_t n, Token first = 13) {
  std::vector<Token> ids;
  for (size_t i = 0; i < n; ++i) ids.push_back(static_cast<Token>((i * 79 + first) % 200 + 20));
  return ids;
}

std::vector<float> copy(std::span<const float> values) { return {values.begin(), values.end()}; }

// A model with sliding layers and a predictor of its head, which skips rows.
std::string made_model() {
  static const TemporaryFolder folder;
  static const std::string path = [] {
    shapes::Shape shape = shapes::smallest();
    ModelConfig& c = shape.config;
    c.layers = 5;
    c.hidden = 64;
    c.heads = 4;
    c.kv_heads = 2;
    c.head_dim = 16;
    shape.ffn.experts = 8;
    shape.ffn.used = 3;
    shape.ffn.width = 32;
    c.context = 1024;
    shape.type = DType::kF16;  // quantised types with such a row are refused as a whole
    shape.window = 130;
    shape.rank = 32;
    shape.tied = false;
    const auto poison = [](std::string_view tensor, std::span<float> values) {
      if (tensor == "token_embd.weight")
        std::ranges::fill(values.subspan(kPoison * 64, 64), INFINITY);
    };
    shapes::write_model(shape, 5, folder / "made.gguf", poison);
    return folder / "made.gguf";
  }();
  return path;
}

struct Mode {
  const char* name;
  LmHead head;
  uint64_t memory;
};

class Feeds : public testing::TestWithParam<Mode> {
 protected:
  static constexpr size_t kChats = 8, kPrefix = 300, kSteps = 6;

  static EngineOptions options() {
    return {.threads = 2,
            .sequences = kChats + 1,
            .micro_batch = 64,
            .head = {.mode = GetParam().head, .threshold = 0, .floor = 20},
            .memory = GetParam().memory};
  }

  // Prompts of different lengths, then a token at a time.
  static std::vector<Token> prompt(size_t chat) {
    return some_tokens(1 + 11 * chat, static_cast<Token>(31 * chat));
  }
  static Token step(size_t chat, size_t i) {
    return static_cast<Token>((chat * 17 + i * 5) % 200 + 20);
  }

  // Logits after the prompt and after each step of a conversation that has the engine for itself.
  static std::vector<std::vector<float>> alone(size_t chat) {
    Engine engine(made_model(), options());
    const SequenceId id = engine.cache().create();
    engine.evaluate({id, some_tokens(kPrefix), Wanted::kNone});
    std::vector<std::vector<float>> rows{copy(engine.evaluate({id, prompt(chat)}))};
    for (size_t i = 0; i < kSteps; ++i) {
      const Token token = step(chat, i);
      rows.push_back(copy(engine.evaluate({id, {&token, 1}})));
    }
    return rows;
  }
};

TEST_P(Feeds, ForksOfAPrefixRunTogetherAsEachAloneAndOneMayFail) {
  constexpr size_t kBad = 3, kBadStep = 2;
  Engine engine(made_model(), options());
  const SequenceId prefix = engine.cache().create();
  engine.evaluate({prefix, some_tokens(kPrefix), Wanted::kNone});
  std::vector<SequenceId> ids;
  std::vector<std::vector<Token>> prompts;
  std::vector<std::vector<std::vector<float>>> want;
  for (size_t chat = 0; chat < kChats; ++chat) {
    ids.push_back(engine.cache().fork(prefix, kPrefix));
    prompts.push_back(prompt(chat));
    want.push_back(alone(chat));
  }
  for (size_t round = 0; round <= kSteps; ++round) {
    std::vector<Token> tokens;
    for (size_t chat = 0; chat < kChats; ++chat) {
      const bool bad = chat == kBad && round == kBadStep + 1;
      tokens.push_back(bad ? kPoison : step(chat, round - 1));
    }
    std::vector<Feed> feeds;
    for (size_t chat = 0; chat < kChats; ++chat) {
      feeds.push_back({ids[chat], round == 0 ? std::span<const Token>(prompts[chat])
                                             : std::span<const Token>(&tokens[chat], 1)});
    }
    const auto outcomes = engine.evaluate(feeds);
    ASSERT_EQ(outcomes.size(), kChats);
    const bool one_fails = round == kBadStep + 1;
    for (size_t chat = 0; chat < kChats; ++chat) {
      const Outcome& outcome = outcomes[chat];
      if (one_fails && chat == kBad) {
        ASSERT_TRUE(outcome.error);
        EXPECT_EQ(outcome.error->code(), ErrorCode::kInvalidData);
        EXPECT_EQ(outcome.error->what(), made_model() +
                                             ": layer 0: router score of expert 0 is "
                                             "not a finite number");
        EXPECT_EQ(outcome.tokens, 0);
        EXPECT_TRUE(outcome.logits.empty());
        continue;
      }
      ASSERT_FALSE(outcome.error) << outcome.error->what();
      EXPECT_EQ(copy(outcome.logits), want[chat][round]) << chat << " " << round;
    }
    if (!one_fails) continue;
    // The token that failed left nothing behind: the conversation goes on without it.
    const Token good = step(kBad, kBadStep);
    EXPECT_EQ(copy(engine.evaluate({ids[kBad], {&good, 1}})), want[kBad][round]);
  }
}

// The others' outcomes of a call in which one feed fails, for each way to fail.
TEST_P(Feeds, AFeedThatCannotBeBegunFailsAlone) {
  Engine engine(made_model(), options());
  KvPool& cache = engine.cache();
  const SequenceId good = cache.create(), other = cache.create();
  const std::vector<Token> ids = some_tokens(20), wild{5, -1}, high{5, 5000};
  const std::vector<float> want = copy(engine.evaluate({good, ids}));
  const std::vector<Token> long_prompt = some_tokens(1025);
  const std::pair<Feed, std::string> cases[] = {
      {{other, {}}, "sequence 1: 0 tokens after 0: want 1..1024"},
      {{other, long_prompt}, "sequence 1: 1025 tokens after 0: want 1..1024"},
      {{other, wild}, "token -1: want 0..255"},
      {{other, high}, "token 5000: want 0..255"},
      {{good, ids}, "sequence 0: fed twice at once"},
      {{77, ids}, "sequence 77: there is none"},
      {{-1, ids}, "sequence -1: there is none"},
  };
  for (const auto& [bad, message] : cases) {
    cache.truncate(good, 0);
    const uint64_t tokens = engine.stats().tokens;
    const Feed feeds[] = {{good, ids}, bad};
    const auto outcomes = engine.evaluate(feeds);
    ASSERT_TRUE(outcomes[1].error) << message;
    EXPECT_EQ(outcomes[1].error->code(), ErrorCode::kInvalidUsage);
    EXPECT_EQ(outcomes[1].error->what(), message);
    ASSERT_FALSE(outcomes[0].error);
    EXPECT_EQ(copy(outcomes[0].logits), want) << message;
    EXPECT_EQ(engine.stats().tokens, tokens + ids.size()) << message;
    EXPECT_EQ(cache.length(other), 0);
  }
  EXPECT_EQ(engine.evaluate(std::span<const Feed>()).size(), 0u);
}

// A prompt that fails or is stopped half way has taken whole micro-batches, and can go on there.
TEST_P(Feeds, WhatASequenceHasTakenStays) {
  Engine engine(made_model(), options());
  const SequenceId id = engine.cache().create();
  std::vector<Token> ids = some_tokens(150);
  const std::vector<float> want = copy(engine.evaluate({id, ids}));

  engine.cache().truncate(id, 0);
  ids[100] = kPoison;
  Feed feed{id, ids};
  Outcome outcome = engine.evaluate({&feed, 1})[0];
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code(), ErrorCode::kInvalidData);
  EXPECT_EQ(outcome.tokens, 64);
  EXPECT_EQ(engine.cache().length(id), 64);
  ids = some_tokens(150);
  EXPECT_EQ(copy(engine.evaluate({id, std::span(ids).subspan(64)})), want);

  engine.cache().truncate(id, 0);
  feed.tokens = ids;
  Stop stop;
  int layers = 0;
  engine.observe_routing([&](int64_t, std::span<const int32_t>) {
    if (++layers == 5 + 2) stop.request();  // in the second micro-batch
  });
  outcome = engine.evaluate({&feed, 1}, stop)[0];
  engine.observe_routing({});
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code(), ErrorCode::kCancelled);
  EXPECT_STREQ(outcome.error->what(), "interrupted");
  EXPECT_EQ(outcome.tokens, 64);
  EXPECT_EQ(engine.cache().length(id), 64);
  EXPECT_EQ(copy(engine.evaluate({id, std::span(ids).subspan(64)})), want);
}

// Rows of several micro-batches and feeds come to the feeds whose they are.
TEST_P(Feeds, EachGetsTheRowsItWants) {
  Engine engine(made_model(), options());
  const std::vector<Token> a = some_tokens(70), b = some_tokens(90, 40), c = some_tokens(3, 60);
  const auto V = static_cast<size_t>(engine.config().vocab);
  KvPool& cache = engine.cache();
  std::vector<std::vector<float>> want;
  const SequenceId x = cache.create(), y = cache.create(), z = cache.create();
  const Feed feeds[] = {{x, a, Wanted::kAll}, {y, b, Wanted::kLast}, {z, c, Wanted::kNone}};
  for (const Feed& feed : feeds) {
    want.push_back(copy(engine.evaluate(feed)));
    cache.truncate(feed.sequence, 0);
  }
  EXPECT_EQ(want[0].size(), 70 * V);
  EXPECT_EQ(want[1].size(), V);
  EXPECT_EQ(want[2].size(), 0u);
  const auto outcomes = engine.evaluate(feeds);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(copy(outcomes[i].logits), want[i]) << i;
  EXPECT_EQ(outcomes[1].tokens, 90);
}

TEST_P(Feeds, AModelIsOpenedOnceAndShared) {
  const auto model =
      std::make_shared<const Model>(made_model(), ModelOptions{.stream = GetParam().memory > 0});
  Engine one(model, options()), two(model, options());
  const std::vector<Token> ids = some_tokens(40);
  const std::vector<float> first = copy(one.evaluate({one.cache().create(), ids}));
  EXPECT_EQ(copy(two.evaluate({two.cache().create(), ids})), first);
  EXPECT_EQ(&one.tokenizer(), &two.tokenizer());
  EngineOptions other = options();
  other.memory = other.memory > 0 ? 0 : uint64_t{1} << 30;
  EXPECT_EQ(error_of([&] { Engine(model, other); }),
            "a model streams its experts if, and only if, there is a budget");
}

INSTANTIATE_TEST_SUITE_P(Heads, Feeds,
                         testing::Values(Mode{"Dense", LmHead::kDense, 0},
                                         Mode{"Sparse", LmHead::kSparse, 0},
                                         Mode{"Budget", LmHead::kSparse, uint64_t{1} << 30}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace st
