// Conversations that go forth and back, against such as have evaluated everything anew.
#include "chat/conversation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "chat/fixture.h"
#include "families/fixture.h"
#include "support/bytes.h"

namespace st::chats {
namespace {

using testkit::error_of;

class Conversations : public testing::TestWithParam<std::string> {
 protected:
  Engine engine = engine_of(GetParam());
  Conversation chat{engine, plain_prompt};
};

// What another conversation, which holds nothing, would answer.
std::vector<Token> fresh_answer(Engine& engine, const Conversation& chat,
                                const SessionOptions& options) {
  Conversation fresh(engine, plain_prompt);
  fresh.become(chat.state(), [](SequenceId) { return false; });
  const std::vector<Token> tokens = answer(engine, fresh, options);
  EXPECT_EQ(fresh.timings().reused_tokens, 0);
  return tokens;
}

// Every way back, and answers that are stopped on the way.
TEST_P(Conversations, AnswerAsIfEvaluatedAnew) {
  std::mt19937_64 random(11);
  const auto below = [&](uint64_t n) { return random() % n; };
  uint64_t number = 0;
  int64_t reused = 0;
  for (int i = 0; i < 40; ++i) {
    const uint64_t what = below(10);
    const size_t size = chat.messages().size();
    if (what == 0) {
      chat.set_system(words(++number, static_cast<int64_t>(below(3))));
    } else if (what == 1) {
      chat.undo();
    } else if (what == 2) {
      chat.forget_answer();
    } else if (what == 3 && size > 0) {
      chat.edit(below(size), words(++number, 5));
    } else if (what == 4 && size > 9) {
      chat.clear();
    }
    if (chat.messages().empty() || chat.messages().back().role != "user") {
      chat.add(user(words(++number, static_cast<int64_t>(1 + below(30)))));
    }
    const SessionOptions options = below(2) ? greedy(9) : seeded(9);
    const std::vector<Token> want = fresh_answer(engine, chat, options);
    const bool stops = below(4) == 0;
    std::vector<Token> got = answer(engine, chat, options, stops ? 4 : -1);
    EXPECT_TRUE(std::ranges::equal(got, std::span(want).first(got.size()))) << i;
    EXPECT_EQ(engine.cache().length(chat.sequence()), std::ssize(chat.state().tokens));
    reused += chat.timings().reused_tokens;
  }
  EXPECT_GT(reused, 1000);
}

// A turn pays for what is new, and a repeated one for its last token.
TEST_P(Conversations, EvaluateOnlyWhatTheyDoNotHold) {
  chat.add(user(words(1, 40)));
  answer(engine, chat, greedy(1));
  const AnswerTimings first = chat.timings();
  EXPECT_EQ(first.reused_tokens, 0);
  EXPECT_EQ(first.generated_tokens, 1);
  EXPECT_EQ(first.evaluated_tokens, 0);
  ASSERT_TRUE(chat.forget_answer());
  answer(engine, chat, greedy(3));
  EXPECT_EQ(chat.timings().prompt_tokens, first.prompt_tokens);
  EXPECT_EQ(chat.timings().reused_tokens, first.prompt_tokens - 1);
  EXPECT_EQ(chat.timings().generated_tokens, 3);
  EXPECT_EQ(chat.timings().evaluated_tokens, 2);

  chat.edit(0, "");
  chat.add(user(words(1, 2)));
  answer(engine, chat, greedy(1));
  EXPECT_LT(chat.timings().reused_tokens, 10);
}

TEST_P(Conversations, AFullContextLosesNothing) {
  chat.add(user(words(1, 40)));
  answer(engine, chat, greedy(5));
  const ChatState before = chat.state();
  chat.add(user(words(2, 2000)));
  const std::string error = error_of([&] { chat.begin_answer(greedy(5)); });
  EXPECT_TRUE(error.starts_with("the chat has ")) << error;
  EXPECT_TRUE(error.ends_with(" tokens, the context 1024; -c allows more")) << error;
  EXPECT_FALSE(chat.answering());
  EXPECT_EQ(chat.undo()->content, words(2, 2000));
  EXPECT_EQ(chat.state(), before);
  chat.add(user("and"));
  answer(engine, chat, greedy(5));
  EXPECT_GT(chat.timings().reused_tokens, 20);
}

// One that is interrupted while its prompt is evaluated has no answer; what was evaluated is held.
TEST_P(Conversations, AnInterruptedAnswerIsKept) {
  chat.add(user(words(1, 100)));
  chat.begin_answer(greedy(5));
  Stop stop;
  engine.observe([&](std::string_view, int64_t, std::span<const float>) { stop.request(); });
  const Feed feed = chat.next();
  EXPECT_EQ(error_of([&] { chat.take(engine.evaluate({&feed, 1}, stop).front()); }), "interrupted");
  engine.observe({});
  chat.stop();
  EXPECT_EQ(chat.messages().size(), 1u);
  EXPECT_EQ(engine.cache().length(chat.sequence()), std::ssize(chat.state().tokens));

  const std::vector<Token> want = fresh_answer(engine, chat, greedy(8));
  EXPECT_EQ(answer(engine, chat, greedy(8), 3), std::vector<Token>(want.begin(), want.begin() + 3));
  EXPECT_EQ(chat.messages().size(), 2u);
  EXPECT_EQ(chat.messages().back().role, "assistant");
  std::string shown;
  for (const OutputEvent& event : chat.take_events()) shown += event.text;
  EXPECT_EQ(shown, chat.messages().back().content);
}

// The sampler goes on from answer to answer; a seed begins it anew.
TEST_P(Conversations, SeedsDecide) {
  chat.add(user("one"));
  const std::vector<Token> first = answer(engine, chat, seeded(12));
  chat.forget_answer();
  const std::vector<Token> second = answer(engine, chat, seeded(12));
  EXPECT_NE(first, second);
  chat.forget_answer();
  answer(engine, chat, seeded(12, 8));
  chat.forget_answer();
  EXPECT_EQ(answer(engine, chat, seeded(12)), first);
  SessionOptions any = seeded(12);
  any.sampler.seed = SamplerOptions().seed;
  chat.forget_answer();
  EXPECT_EQ(answer(engine, chat, any), second);
}

INSTANTIATE_TEST_SUITE_P(Models, Conversations, testing::ValuesIn(kModels),
                         [](const auto& param) { return families::test_name(param.param); });

// ---- What was said ----

class ChatHistory : public testing::Test {
 protected:
  std::string text() const {
    std::string all;
    for (const Message& m : chat.messages()) all += m.role.substr(0, 1) + ":" + m.content + " ";
    return all;
  }
  void say(const std::string& question, const std::string& said) {
    chat.add(user(question));
    chat.add({.role = "assistant", .content = said});
  }

  Engine engine = engine_of("micro-4b-style");
  Conversation chat{engine, plain_prompt};
};

TEST_F(ChatHistory, GoesForthAndBack) {
  EXPECT_FALSE(chat.undo());
  EXPECT_FALSE(chat.forget_answer());
  chat.set_system("S");
  say("1", "one");
  say("2", "two");
  EXPECT_EQ(text(), "s:S u:1 a:one u:2 a:two ");
  EXPECT_TRUE(chat.forget_answer());
  EXPECT_FALSE(chat.forget_answer());
  EXPECT_EQ(text(), "s:S u:1 a:one u:2 ");
  EXPECT_EQ(chat.undo()->content, "2");
  EXPECT_EQ(text(), "s:S u:1 a:one ");
  chat.edit(1, "I");
  EXPECT_EQ(text(), "s:S u:I ");
  chat.set_system("T");
  EXPECT_EQ(text(), "s:T u:I ");
  chat.set_system("");
  EXPECT_EQ(text(), "u:I ");
  chat.clear();
  EXPECT_EQ(text(), "");
  chat.set_system("S");
  say("1", "one");
  chat.clear();
  EXPECT_EQ(text(), "s:S ");
}

TEST_F(ChatHistory, ClearedHoldsNoTokens) {
  chat.set_system("S");
  chat.add(user("1"));
  answer(engine, chat, greedy(5));
  ASSERT_GT(chat.state().tokens.size(), 0u);
  chat.clear();
  EXPECT_EQ(chat.state().tokens.size(), 0u);
  EXPECT_EQ(engine.cache().length(chat.sequence()), 0);
  chat.add(user("2"));
  answer(engine, chat, greedy(5));
  EXPECT_EQ(chat.timings().reused_tokens, 0);
}

// As its file would say it.
TEST_F(ChatHistory, IsUtf8) {
  chat.set_system("caf\xE9");
  say("\xFF!", "yes");
  EXPECT_EQ(text(), "s:caf\xEF\xBF\xBD u:\xEF\xBF\xBD! a:yes ");
  chat.edit(1, "\xE4\xBD");
  EXPECT_EQ(text(), "s:caf\xEF\xBF\xBD u:\xEF\xBF\xBD ");
}

}  // namespace
}  // namespace st::chats
