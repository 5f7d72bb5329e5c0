// Conversations that were left and are taken up again, against such as never were.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>

#include "chat/fixture.h"
#include "chat/journal.h"
#include "engine/session.h"
#include "families/fixture.h"
#include "support/temporary_folder.h"

namespace st::chats {
namespace {

constexpr int64_t kLongest = 300;

// A sample, or, in a long test, all.
std::vector<int64_t> lengths() {
  std::vector<int64_t> all;
  const bool every = std::getenv("ST_TEST_SCALE") != nullptr;
  const std::set<int64_t> borders = {1, 2, 7, 8, 9, 15, 16, 17, 127, 128, 129, 255, 256, 257};
  for (int64_t n = 1; n <= kLongest; ++n) {
    if (every || n % 31 == 0 || borders.contains(n)) all.push_back(n);
  }
  return all;
}

struct Case {
  std::string model;
  KvType type;

  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.model; }
};

std::string name_of(const testing::TestParamInfo<Case>& info) {
  return families::test_name(info.param.model) + "_" + std::string(kv_type_name(info.param.type));
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::string& model : kModels) {
    for (const KvType type : {KvType::kF32, KvType::kI16, KvType::kI8})
      all.push_back({model, type});
  }
  return all;
}

// A sequence with random tokens, and what it saves.
class Resumed : public testing::TestWithParam<Case> {
 protected:
  void grow(int64_t length) {
    std::vector<Token> more;
    while (std::ssize(chat.tokens) + std::ssize(more) < length) {
      more.push_back(static_cast<Token>(random() % static_cast<uint64_t>(engine.config().vocab)));
    }
    if (more.empty()) return;
    engine.evaluate({live, more});
    chat.tokens.insert(chat.tokens.end(), more.begin(), more.end());
  }
  // Where nothing was seen of the rest, a turn later.
  void shrink(int64_t length) {
    engine.cache().truncate(live, length);
    chat.tokens.resize(static_cast<size_t>(length));
  }

  // The next tokens of a sequence, which is then as it was.
  std::vector<Token> next_tokens(SequenceId id, SessionOptions options) {
    options.sampler.used = chat.used;
    const int64_t length = engine.cache().length(id);
    Session session(engine.tokenizer(), engine.cache(), id, options, chat.tokens);
    session.feed(std::vector<Token>{5});
    std::vector<Token> tokens;
    std::optional<FinishReason> reason;
    while (!reason) {
      const Feed feed = session.next();
      reason = session.take(engine.evaluate({&feed, 1}).front());
      tokens.push_back(session.next().tokens.back());
    }
    engine.cache().truncate(id, length);
    return tokens;
  }

  void save() {
    Journal journal(engine, path, "template", {.keep = KeepKv::kAlways});
    journal.save(chat, live, {});
  }
  void expect_same_after_loading() {
    Journal journal(engine, path, "template");
    EXPECT_EQ(journal.chat(), chat);
    const SequenceId read = engine.cache().create();
    EXPECT_TRUE(journal.restore(read));
    EXPECT_EQ(journal.take_notices(), std::vector<std::string>());
    for (const SessionOptions& options : {greedy(3), seeded(3)}) {
      EXPECT_EQ(next_tokens(read, options), next_tokens(live, options));
    }
    engine.cache().erase(read);
  }

  const TemporaryFolder folder;
  const std::string path = folder / "a.stsession";
  Engine engine = engine_of(GetParam().model, {.cache_type = GetParam().type});
  const SequenceId live = engine.cache().create();
  ChatState chat;
  std::mt19937_64 random{3};
};

TEST_P(Resumed, GoesOnAtEveryLength) {
  chat.seed = 7;
  for (const int64_t length : lengths()) {
    grow(length);
    chat.used += 2;
    save();
    SCOPED_TRACE(length);
    expect_same_after_loading();
  }
}

// What is saved after going back replaces what was saved before.
TEST_P(Resumed, GoesOnAfterGoingBack) {
  for (int64_t turn = 0; turn < 12; ++turn) {
    grow(std::ssize(chat.tokens) + 45);
    save();
    const int64_t kept = engine.cache().first_kept(live), length = std::ssize(chat.tokens);
    shrink(std::max(kept, length - static_cast<int64_t>(random() % 40)));
    if (turn % 2 == 0) save();
    grow(std::ssize(chat.tokens) + static_cast<int64_t>(random() % 9));
    save();
    SCOPED_TRACE(turn);
    expect_same_after_loading();
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Resumed, testing::ValuesIn(cases()), name_of);

// ---- Whole conversations ----

class ResumedChat : public testing::TestWithParam<std::string> {};

// Left after every turn, and taken up by another engine.
TEST_P(ResumedChat, AnswersAsIfItHadNeverBeenLeft) {
  const TemporaryFolder folder;
  for (const SessionOptions& options : {greedy(30), seeded(30)}) {
    const std::string path = folder / (options.sampler.temperature > 0 ? "seeded" : "greedy");
    Engine engine = engine_of(GetParam());
    Conversation whole(engine, plain_prompt);
    for (uint64_t turn = 0; turn < 4; ++turn) {
      whole.add(user(words(turn, 12)));
      const std::vector<Token> want = answer(engine, whole, options);

      Engine another = engine_of(GetParam(), {.context = static_cast<int64_t>(600 + 100 * turn)});
      Conversation left(another, plain_prompt);
      Journal journal(another, path, "template", {.keep = KeepKv::kAlways});
      left.become(journal.chat(), [&](SequenceId id) { return journal.restore(id); });
      left.add(user(words(turn, 12)));
      EXPECT_EQ(answer(another, left, options), want);
      EXPECT_EQ(left.state(), whole.state());
      EXPECT_EQ(left.timings().reused_tokens, whole.timings().reused_tokens);
      journal.save(left.state(), left.sequence(), left.timings());
      EXPECT_EQ(journal.take_notices(), std::vector<std::string>());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ResumedChat, testing::ValuesIn(kModels),
                         [](const auto& param) { return families::test_name(param.param); });

}  // namespace
}  // namespace st::chats
