// Positions that do not continue what a sequence holds are refused: nobody computes with keys that
// were never written, or with those of another conversation.
#include <gtest/gtest.h>

#include "golden/fixture.h"
#include "support/bytes.h"

namespace st {
namespace {

using golden::converted;
using golden::kTiny;
using testkit::error_of;

constexpr int kTokens = 40;

std::vector<Token> some_tokens(int n) {
  std::vector<Token> ids;
  for (int i = 0; i < n; ++i) ids.push_back(static_cast<Token>((i * 7919 + 13) % 4077));
  return ids;
}

class Positions : public testing::Test {
 protected:
  // Items at these positions, all of one sequence unless it is given with each.
  static std::vector<BatchItem> batch(std::initializer_list<int32_t> positions,
                                      int32_t sequence = 0) {
    std::vector<BatchItem> items;
    for (const int32_t p : positions) {
      const Token token = some_tokens(kTokens)[static_cast<size_t>(p)];
      items.push_back({.token = token, .position = p, .sequence = sequence, .logits = true});
    }
    return items;
  }
  std::vector<float> run(const std::vector<BatchItem>& items) {
    const auto logits = engine.evaluate(items);
    return {logits.begin(), logits.end()};
  }
  std::string refusal(const std::vector<BatchItem>& items) {
    return error_of([&] { engine.evaluate(items); });
  }

  Engine engine{converted(kTiny, DType::kF16, true),
                {.threads = 2, .context = 64, .sequences = 2, .micro_batch = 4}};
};

TEST_F(Positions, AGapIsRefused) {
  EXPECT_EQ(refusal(batch({1})), "sequence 0: position 1: it holds 0 positions, want 0..0");
  run(batch({0, 1, 2, 3, 4}));
  EXPECT_EQ(refusal(batch({6})), "sequence 0: position 6: it holds 5 positions, want 0..5");
  EXPECT_EQ(refusal(batch({5, 7})), "sequence 0: position 7 after 5: want 6");
}

// Their keys are still in the cache, and must not be taken for the new conversation's.
TEST_F(Positions, AnEarlierConversationIsForgotten) {
  run(batch({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  run(batch({0, 1}));
  EXPECT_EQ(refusal(batch({9})), "sequence 0: position 9: it holds 2 positions, want 0..2");
  run(batch({2}));
}

TEST_F(Positions, OneIsComputedOnce) {
  EXPECT_EQ(refusal(batch({0, 1, 1})), "sequence 0: position 1 after 1: want 2");
  EXPECT_EQ(refusal(batch({0, 1, 0})), "sequence 0: position 0 after 1: want 2");
}

TEST_F(Positions, EachSequenceHasItsOwn) {
  run(batch({0, 1, 2}, 1));
  EXPECT_EQ(refusal(batch({3}, 0)), "sequence 0: position 3: it holds 0 positions, want 0..0");
  std::vector<BatchItem> both;
  for (const int32_t p : {0, 1, 2}) {
    both.push_back(batch({p}, 0)[0]);
    both.push_back(batch({p + 3}, 1)[0]);
  }
  run(both);
  both = {batch({3}, 0)[0], batch({7}, 1)[0]};
  EXPECT_EQ(refusal(both), "sequence 1: position 7: it holds 6 positions, want 0..6");
}

TEST_F(Positions, ARefusalChangesNothing) {
  const auto whole = run(batch({0, 1, 2, 3, 4, 5, 6}));
  run(batch({0, 1, 2, 3, 4}));
  const Stats before = engine.stats();
  EXPECT_NE(refusal(batch({5, 6, 8})), "no error");
  EXPECT_NE(refusal(batch({0, 2})), "no error");
  EXPECT_EQ(engine.stats().tokens, before.tokens);
  const auto rest = run(batch({5, 6}));
  EXPECT_TRUE(std::ranges::equal(rest, std::span(whole).last(rest.size())));
}

TEST_F(Positions, GoingBackReplacesWhatComesAfter) {
  const auto want = run(batch({0, 1, 2, 3, 4, 5}));
  const auto again = run(batch({2, 3}));
  const auto V = static_cast<size_t>(engine.config().vocab);
  EXPECT_TRUE(std::ranges::equal(again, std::span(want).subspan(2 * V, 2 * V)));
  EXPECT_EQ(refusal(batch({5})), "sequence 0: position 5: it holds 4 positions, want 0..4");
}

// The micro-batch that was stopped may have been written in part.
TEST_F(Positions, WhatAStoppedPassWasWritingIsNotHeld) {
  const auto want = run(batch({0, 1, 2, 3, 4, 5, 6, 7}));
  run(batch({0, 1, 2}));
  Stop stop;
  int layers = 0;
  engine.observe_routing([&](int64_t, std::span<const int32_t>) {
    if (++layers == engine.config().layers + 1) stop.request();  // in the second micro-batch
  });
  EXPECT_EQ(error_of([&] { engine.evaluate(batch({3, 4, 5, 6, 7}), stop); }), "interrupted");
  engine.observe_routing({});
  EXPECT_EQ(engine.snapshot().positions, (std::vector<int64_t>{7, 0}));
  EXPECT_EQ(refusal(batch({8})), "sequence 0: position 8: it holds 7 positions, want 0..7");
  const auto rest = run(batch({3, 4, 5, 6, 7}));
  EXPECT_TRUE(std::ranges::equal(rest, std::span(want).last(rest.size())));
}

}  // namespace
}  // namespace st
