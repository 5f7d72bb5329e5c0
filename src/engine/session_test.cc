#include "engine/session.h"

#include <gtest/gtest.h>

#include "support/bytes.h"
#include "support/vocabularies.h"

namespace st {
namespace {

using testkit::error_of;

// The 256 bytes, "ab", and an end.
class SessionTest : public testing::Test {
 protected:
  static constexpr Token kAb = 256, kEnd = 257;

  SessionTest() {
    Vocab vocab = testkit::byte_vocab({"a b"});
    testkit::add_token(vocab, "<end>", TokenType::kControl);
    vocab.end_of_generation = {kEnd};
    vocab.eos = kEnd;
    tokenizer.emplace(vocab);
  }

  // What comes of a feed after which `token` is the likeliest.
  Outcome outcome(const Feed& feed, Token token) {
    logits.assign(258, 0.0f);
    logits[static_cast<size_t>(token)] = 5;
    return {.tokens = std::ssize(feed.tokens), .logits = logits, .error = {}};
  }
  std::optional<FinishReason> take(Session& session, Token token) {
    return session.take(outcome(session.next(), token));
  }

  static SessionOptions greedy(SessionOptions options = {}) {
    options.sampler.temperature = 0;
    return options;
  }

  // Of a model without layers.
  static KvPool cache_of(int64_t context) { return {ModelConfig(), KvType::kF32, context, 1, 8}; }

  std::optional<Tokenizer> tokenizer;
  std::vector<float> logits;
  KvPool cache = cache_of(100);
};

TEST_F(SessionTest, SaysWhatToEvaluateAndTakesWhatCame) {
  Session session(*tokenizer, cache, 3, greedy());
  session.feed(std::vector<Token>{'x', 'y'});
  EXPECT_EQ(session.next().sequence, 3);
  EXPECT_EQ(session.next().tokens.size(), 2u);
  EXPECT_EQ(session.next().logits, Wanted::kLast);
  EXPECT_EQ(take(session, kAb), std::nullopt);
  EXPECT_EQ(session.take_text(), "ab");
  ASSERT_EQ(session.next().tokens.size(), 1u);
  EXPECT_EQ(session.next().tokens[0], kAb);
  EXPECT_EQ(take(session, kEnd), FinishReason::kEndOfGeneration);
  EXPECT_EQ(session.generated(), 1);
  EXPECT_EQ(session.finish_text(), "");
}

// The next turn begins with what the answer left over.
TEST_F(SessionTest, ATurnFollowsAnother) {
  Session session(*tokenizer, cache, 0, greedy({.max_tokens = 1}));
  session.feed(std::vector<Token>{'x'});
  EXPECT_EQ(take(session, 'q'), FinishReason::kMaxTokens);
  session.feed(std::vector<Token>{'y', 'z'});
  const auto tokens = session.next().tokens;
  EXPECT_EQ(std::vector<Token>(tokens.begin(), tokens.end()), (std::vector<Token>{'q', 'y', 'z'}));
  EXPECT_EQ(take(session, 'r'), FinishReason::kMaxTokens);
  EXPECT_EQ(session.take_text(), "qr");
}

// What the sequence has already is part of the text, and of the context, but not evaluated again.
TEST_F(SessionTest, BeginsWithWhatTheSequenceHas) {
  SessionOptions options = greedy();
  options.sampler.presence_penalty = 10;
  KvPool short_cache = cache_of(5);
  Session session(*tokenizer, short_cache, 0, options, std::vector<Token>{'q', 'r', 's'});
  session.feed(std::vector<Token>{'t'});
  ASSERT_EQ(session.next().tokens.size(), 1u);
  EXPECT_EQ(session.next().tokens[0], 't');
  EXPECT_EQ(take(session, 'q'), std::nullopt);
  EXPECT_NE(session.next().tokens[0], 'q');  // which it had
  EXPECT_EQ(take(session, 'z'), FinishReason::kContextFull);
  EXPECT_EQ(error_of([&] { session.feed(std::vector<Token>{'x'}); }),
            "prompt 7 tokens > context 5; -c allows more");
}

TEST_F(SessionTest, EndsWhereItShould) {
  Session none(*tokenizer, cache, 0, greedy({.max_tokens = 0}));
  none.feed(std::vector<Token>{'x'});
  EXPECT_EQ(take(none, 'q'), FinishReason::kMaxTokens);
  EXPECT_EQ(none.generated(), 0);

  KvPool short_cache = cache_of(2);
  Session full(*tokenizer, short_cache, 0, greedy());
  EXPECT_EQ(error_of([&] { full.feed(std::vector<Token>{'x', 'y', 'z'}); }),
            "prompt 3 tokens > context 2; -c allows more");
  full.feed(std::vector<Token>{'x', 'y'});
  EXPECT_EQ(take(full, 'q'), FinishReason::kContextFull);
  EXPECT_EQ(full.finish_text(), "q");

  Session stop(*tokenizer, cache, 0, greedy({.stop = {"bc"}}));
  stop.feed(std::vector<Token>{'x'});
  EXPECT_EQ(take(stop, kAb), std::nullopt);
  EXPECT_EQ(stop.take_text(), "a");  // the b may become part of a stop text
  EXPECT_EQ(take(stop, 'c'), FinishReason::kStopText);
  EXPECT_EQ(stop.finish_text(), "");

  Session going(*tokenizer, cache, 0, greedy({.ignore_eos = true}));
  going.feed(std::vector<Token>{'x'});
  EXPECT_EQ(take(going, kEnd), std::nullopt);
}

// Half a character is held back until the answer ends.
TEST_F(SessionTest, TextIsWholeCharacters) {
  Session session(*tokenizer, cache, 0, greedy());
  session.feed(std::vector<Token>{'x'});
  EXPECT_EQ(take(session, 0xC3), std::nullopt);
  EXPECT_EQ(session.take_text(), "");
  EXPECT_EQ(take(session, 0xA9), std::nullopt);
  EXPECT_EQ(session.take_text(), "\u00e9");
  EXPECT_EQ(take(session, 0xC3), std::nullopt);
  EXPECT_EQ(session.take_text(), "");
  EXPECT_EQ(session.finish_text(), "\ufffd");
}

// After an error what was not taken is pending still.
TEST_F(SessionTest, AnErrorMayBeTriedAgain) {
  Session session(*tokenizer, cache, 0, greedy());
  session.feed(std::vector<Token>{'x', 'y', 'z'});
  const Outcome half{.tokens = 2, .logits = {}, .error = Error(ErrorCode::kIo, "the disk is gone")};
  EXPECT_EQ(error_of([&] { session.take(half); }), "the disk is gone");
  ASSERT_EQ(session.next().tokens.size(), 1u);
  EXPECT_EQ(session.next().tokens[0], 'z');
  EXPECT_EQ(take(session, 'q'), std::nullopt);
  EXPECT_EQ(session.take_text(), "q");
}

}  // namespace
}  // namespace st
