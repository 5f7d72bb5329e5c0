// What drafts promise: the text is that of a token a pass, bit by bit, whatever is drafted.
//
// ST_TEST_SCALE times as many tokens as usual are written.
#include <gtest/gtest.h>

#include <algorithm>

#include "chat/fixture.h"
#include "chat/made_drafts.h"
#include "engine/generate.h"
#include "engine/lookup_drafter.h"
#include "families/fixture.h"
#include "golden/fixture.h"
#include "support/bytes.h"
#include "support/scale.h"

namespace st::chats {
namespace {

std::vector<Token> some_tokens(uint32_t seed, int64_t n) {
  std::mt19937 random(seed);
  std::vector<Token> tokens(static_cast<size_t>(n));
  for (Token& token : tokens) token = static_cast<Token>(random() % 250);
  return tokens;
}

std::shared_ptr<Drafter> made_drafts(const Engine& engine, std::span<const Token> text,
                                     uint32_t seed) {
  return std::make_shared<MadeDrafts>(std::vector<Token>(text.begin(), text.end()),
                                      static_cast<Token>(engine.config().vocab), seed);
}

// Penalties look back on what was chosen, a draw takes two outputs of the generator: a token too
// many or too few of either shows.
SessionOptions drawn(int64_t tokens, uint32_t seed) {
  SessionOptions options = seeded(tokens, seed);
  options.sampler.temperature = 0.7f;
  options.sampler.repeat_penalty = 1.05f;
  options.sampler.frequency_penalty = 0.02f;
  options.sampler.presence_penalty = 0;
  options.sampler.repeat_last_n = 20;
  return options;
}

std::string quantized(const std::string& model) {
  if (model == golden::kTiny) return golden::converted(golden::kTiny, DType::kQ4_0, true);
  const bool other = std::ranges::count(families::kFolders, model) > 0;
  return other ? families::converted(model, DType::kQ8_0)
               : golden::converted("variants/" + model, DType::kQ4_0, true);
}

struct Kind {
  const char* name;
  int threads;
  int64_t room = 0;  // experts, or layers, in a budget; 0: no budget
  int64_t micro_batch = 16;
  LmHead head = LmHead::kDense;
};
const Kind kKinds[] = {{"plain", 1},
                       {"two threads", 2},
                       {"three threads, sparse head", 3, 0, 16, LmHead::kSparse},
                       {"a small budget", 2, 12},
                       {"the smallest budget", 1, 1},
                       {"a token at once", 1, 0, 1},
                       {"two at once", 2, 0, 2}};

Engine engine_for(const Kind& kind, const std::string& path) {
  EngineOptions options{.threads = kind.threads,
                        .context = 1024,
                        .sequences = 2,
                        .micro_batch = kind.micro_batch,
                        .head = {.mode = kind.head, .floor = 16}};
  if (kind.room > 0) options.memory = uint64_t{1} << 30;
  Engine engine(path, options);
  if (kind.room > 0) {
    const MemoryPlan plan = engine.memory()->plan;
    uint64_t budget = std::max(families::budget_for(plan, 8, kind.room), plan.smallest_here());
    // The program may have grown since it was planned.
    while (testkit::error_of([&] { engine.set_memory(budget); }) != "no error" &&
           budget < options.memory) {
      budget += uint64_t{1} << 20;
    }
  }
  return engine;
}

class Drafts : public testing::TestWithParam<std::string> {};

TEST_P(Drafts, ChangeNoBit) {
  const std::string path = quantized(GetParam());
  const int64_t tokens = std::min<int64_t>(testkit::scaled(90), 800);
  int64_t drafted = 0;
  for (const bool greedily : {true, false}) {
    const SessionOptions options = greedily ? greedy(tokens) : drawn(tokens, 11);
    const std::vector<Token> prompt = some_tokens(3, 70);
    WrittenAnswer plain, sparse;
    for (const Kind& kind : kKinds) {
      SCOPED_TRACE(testing::Message() << kind.name << (greedily ? ", greedy" : ", drawn"));
      Engine engine = engine_for(kind, path);
      WrittenAnswer& wanted = kind.head == LmHead::kSparse ? sparse : plain;
      if (wanted.tokens.empty()) wanted = write_answer(engine, prompt, options);
      for (uint32_t seed = 0; seed < testkit::scaled(2); ++seed) {
        SessionOptions with = options;
        with.drafter = std::make_shared<LookupDrafter>();
        if (seed > 0) with.drafter = made_drafts(engine, wanted.tokens, seed);
        DraftCount drafts;
        ASSERT_EQ(write_answer(engine, prompt, with, &drafts), wanted);
        drafted += drafts.chosen;
      }
    }
  }
  EXPECT_GT(drafted, tokens);
}

INSTANTIATE_TEST_SUITE_P(Models, Drafts,
                         testing::Values("model", "micro-21b-style-softmax", "micro-odd-sharded",
                                         "micro-qwen3", "micro-qwen3moe-odd", "micro-gemma3n",
                                         "micro-gemma3n-e2b-style"),
                         [](const auto& test) { return families::test_name(test.param); });

// In the middle of a draft, too: it ends where it would, and what follows is not there.
TEST(DraftsAtTheEnd, EndWhereTheAnswerEnds) {
  Engine engine = engine_of("micro-21b-style-softmax", {.context = 120});
  const std::vector<Token> prompt = some_tokens(5, 40);
  const std::vector<Token> text = write_answer(engine, prompt, greedy(70)).tokens;
  std::vector<SessionOptions> endings;
  for (int64_t tokens = 1; tokens < 20; ++tokens) endings.push_back(greedy(tokens));
  endings.push_back(greedy(-1));  // a full context
  for (size_t at = 3; at < 12; ++at) {
    endings.push_back(greedy(-1));
    endings.back().stop = {engine.tokenizer().piece(text[40 + at], false)};
  }
  for (SessionOptions options : endings) {
    const WrittenAnswer plain = write_answer(engine, prompt, options);
    for (uint32_t seed = 0; seed < 4; ++seed) {
      options.drafter = made_drafts(engine, text, seed);
      ASSERT_EQ(write_answer(engine, prompt, options), plain) << options.max_tokens;
    }
  }
}

// The model ends by itself.
TEST(DraftsAtTheEnd, EndWithTheModel) {
  Engine engine(quantized(golden::kTiny), {.threads = 1, .context = 512});
  const std::vector<Token> prompt = engine.tokenizer().encode(
      "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n", true);
  SessionOptions options;
  options.sampler.temperature = 0;
  const WrittenAnswer plain = write_answer(engine, prompt, options);
  ASSERT_EQ(plain.reason, FinishReason::kEndOfGeneration);
  std::vector<Token> text = plain.tokens;
  text.insert(text.end(), {engine.tokenizer().vocab().eos, 17, 18});
  for (uint32_t seed = 0; seed < 8; ++seed) {
    options.drafter = made_drafts(engine, text, seed);
    ASSERT_EQ(write_answer(engine, prompt, options), plain) << seed;
  }
}

// Stopped in a pass with a draft, an answer goes on from what was chosen before.
TEST(DraftsAtTheEnd, MayBeInterrupted) {
  Engine engine = engine_of("micro-gemma3n");
  const std::vector<Token> prompt = some_tokens(6, 30);
  const WrittenAnswer plain = write_answer(engine, prompt, greedy(60));
  SessionOptions options = greedy(60);
  options.drafter = made_drafts(engine, plain.tokens, 1);
  const SequenceId id = engine.cache().create();
  Session session(engine.tokenizer(), engine.cache(), id, options);
  session.feed(prompt);
  std::optional<FinishReason> reason;
  for (int pass = 0; !reason; ++pass) {
    const Feed feed = session.next();
    Stop stop;
    if (pass % 2 == 1) stop.request();
    const size_t held = session.held().size();
    try {
      reason = session.take(engine.evaluate({&feed, 1}, stop).front());
    } catch (const Error& e) {
      ASSERT_EQ(e.code(), ErrorCode::kCancelled);
      ASSERT_EQ(session.held().size(), held);
    }
    ASSERT_EQ(engine.cache().length(id), std::ssize(session.held()));
  }
  EXPECT_EQ(session.finish_text(), plain.text);
  EXPECT_EQ(std::vector<Token>(session.held().begin(), session.held().end()), plain.tokens);
}

// A conversation goes on from answers with drafts as from others, and counts what stayed.
TEST(DraftsOfConversations, CountWhatStays) {
  std::vector<ChatState> states;
  AnswerTimings timings[2];
  for (const bool drafting : {false, true}) {
    Engine engine = engine_of("micro-4b-style");
    Conversation conversation(engine, plain_prompt);
    for (uint32_t turn = 0; turn < 4; ++turn) {
      SessionOptions options = drawn(40, 9);
      if (drafting) options.drafter = std::make_shared<LookupDrafter>();
      conversation.add(user(words(turn / 2, 12)));
      answer(engine, conversation, options);
      EXPECT_EQ(engine.cache().length(conversation.sequence()),
                std::ssize(conversation.state().tokens));
    }
    timings[drafting] = conversation.timings();
    states.push_back(conversation.state());
  }
  EXPECT_EQ(states[0], states[1]);
  EXPECT_EQ(timings[0].evaluated_tokens, timings[1].evaluated_tokens);
  EXPECT_EQ(timings[0].generated_tokens, timings[1].generated_tokens);
  EXPECT_EQ(timings[0].drafts.drafted, 0);
}

TEST(DraftsOfGenerate, CountWhatStays) {
  Engine engine = engine_of("micro-21b-style-softmax");
  const std::vector<Token> prompt = some_tokens(8, 30);
  GenerateOptions options{.session = greedy(100)};
  GenerateResult results[2];
  std::string texts[2];
  for (const int with : {0, 1}) {
    if (with == 1) options.session.drafter = std::make_shared<LookupDrafter>();
    results[with] = generate(engine, prompt, options, [&](std::string_view text) {
      texts[with] += text;
      return true;
    });
  }
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_EQ(results[0].evaluated_tokens, 99);
  EXPECT_EQ(results[1].evaluated_tokens, 99);
  EXPECT_EQ(results[1].generated_tokens, 100);
}

}  // namespace
}  // namespace st::chats
