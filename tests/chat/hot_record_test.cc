// How often a chat used each expert, in its file: within a budget it goes on with the hottest in
// memory.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "chat/file_limit.h"
#include "chat/saved_chat.h"
#include "chat/sealed_journal.h"
#include "chat/session_folder.h"
#include "experts/hot_set.h"
#include "families/fixture.h"
#include "support/bytes.h"
#include "support/temporary_folder.h"

namespace st::chats {
namespace {

using testkit::error_of;
using testkit::le;
using testkit::SealedJournal;
using testkit::StringSource;

constexpr int64_t kRoom = 7;  // of 24 experts, beside a full context

// With room for few experts.
Engine limited_engine(EngineOptions options = {}, const std::string& model = "micro-4b-style") {
  options.memory = uint64_t{1} << 30;
  options.context = 256;  // for which room is kept
  Engine engine = engine_of(model, std::move(options));
  engine.set_memory(families::budget_for(engine.memory()->plan, 8, kRoom));
  return engine;
}

class HotRecord : public testing::Test {
 protected:
  void save_turns(Engine& engine, int64_t first, int64_t last) {
    SavedChat chat(engine);
    Journal journal(engine, path, "template", kKept);
    for (int64_t turn = first; turn <= last; ++turn) chat.save(journal, turn);
    saved = journal.chat();
  }
  void write(const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }
  ReadJournal read() { return read_journal(StringSource(read_all(path))); }

  // What opening it tells, without the path.
  std::vector<std::string> notices(Engine& engine) {
    Journal journal(engine, path, "template", kKept);
    EXPECT_EQ(journal.chat().messages, saved.messages);
    journal.warm();
    std::vector<std::string> all = journal.take_notices();
    for (std::string& notice : all) notice = notice.substr(path.size() + 2);
    return all;
  }
  void warm(Engine& engine) { EXPECT_EQ(notices(engine), std::vector<std::string>()); }

  const TemporaryFolder folder;
  const std::string path = folder / "a.stsession";
  ChatState saved;
};

// ---- In the file ----

TEST_F(HotRecord, IsWrittenWithinABudget) {
  Engine engine = limited_engine();
  save_turns(engine, 1, 3);
  EXPECT_TRUE(engine.hot_set().starts_with("smallthinker-hot-set 1\nlayers 3 experts 8\n"));
  EXPECT_EQ(read().hot, engine.hot_set());
  EXPECT_EQ(read().whole, read_all(path).size());
}

TEST_F(HotRecord, IsNotWrittenWithoutOne) {
  Engine engine = engine_of("micro-4b-style");
  save_turns(engine, 1, 3);
  EXPECT_EQ(engine.hot_set(), "");
  EXPECT_EQ(read().end, read_all(path).size());
}

TEST_F(HotRecord, IsNoneOfADenseModel) {
  Engine engine = limited_engine({}, "micro-qwen3");
  save_turns(engine, 1, 1);
  EXPECT_GT(engine.memory()->experts.asked, 0u);
  EXPECT_EQ(engine.hot_set(), "");
  EXPECT_EQ(read().end, read_all(path).size());
}

// Turns that append and turns that write the file anew, with a budget and without.
TEST_F(HotRecord, IsThereOnceAndStays) {
  Engine limited = limited_engine();
  int64_t written_anew = 0;
  const auto grow = [&](Engine& engine, int64_t first, int64_t last) {
    for (int64_t turn = first; turn <= last; ++turn) {
      const uint64_t before = turn > 1 ? read().end : 0;
      save_turns(engine, turn, turn);
      written_anew += read().end < before;
      EXPECT_EQ(read().hot, limited.hot_set()) << turn;
      EXPECT_EQ(read().whole, read_all(path).size()) << turn;
    }
  };
  grow(limited, 1, 25);
  Engine plain = engine_of("micro-4b-style");
  grow(plain, 26, 50);
  EXPECT_GT(written_anew, 2);
}

TEST_F(HotRecord, StaysWhenKeysAndValuesMakeRoom) {
  ::setenv("XDG_STATE_HOME", folder.path().c_str(), 1);
  Engine engine = limited_engine();
  SavedChat chat(engine);
  const std::string file = session_path("a");
  {
    Journal journal(engine, file, "template", kKept);
    chat.save(journal, 1);
  }
  EXPECT_EQ(shrink_sessions(0), std::vector<std::string>{"a"});
  const ReadJournal journal = read_journal(StringSource(read_all(file)));
  EXPECT_FALSE(journal.contents.has_tiles());
  EXPECT_EQ(journal.hot, engine.hot_set());
  ::unsetenv("XDG_STATE_HOME");
}

// ---- Damage ----

TEST_F(HotRecord, MayBeTornOrDamaged) {
  Engine engine = limited_engine();
  save_turns(engine, 1, 2);
  const std::string file = read_all(path), hot = read().hot;
  const uint64_t end = read().end;
  for (uint64_t i = end; i < file.size(); ++i) {
    std::string flipped = file;
    flipped[i] ^= static_cast<char>(1 << i % 8);
    for (const std::string& bytes : {flipped, file.substr(0, i)}) {
      const ReadJournal journal = read_journal(StringSource(bytes));
      ASSERT_EQ(journal.hot, "") << i;
      ASSERT_EQ(journal.whole, end) << i;
      ASSERT_EQ(journal.contents.chat(), saved) << i;
    }
  }
  write(file.substr(0, file.size() - 1));
  EXPECT_EQ(notices(engine),
            std::vector<std::string>{fmt::format(
                "the last {} bytes are no whole turn and are left out", file.size() - 1 - end)});
  save_turns(engine, 3, 3);
  EXPECT_EQ(read().hot, engine.hot_set());
  EXPECT_NE(read().hot, hot);
}

TEST_F(HotRecord, CostsNoTurnWhereTheDiskIsFull) {
  Engine engine = limited_engine();
  save_turns(engine, 1, 1);
  const uint64_t end = read().end;
  ASSERT_EQ(std::remove(path.c_str()), 0);
  {
    const FileLimit limit(end + 20);
    save_turns(engine, 1, 1);
  }
  EXPECT_EQ(read_all(path).size(), end);
  warm(engine);
}

// Readers of before take it for a turn that was cut off: what they do not know stands after the
// last turn.
TEST_F(HotRecord, BelongsToNoTurn) {
  Engine engine = engine_of("micro-4b-style");
  const std::string header = format_header(header_of(engine, "template"));
  SealedJournal journal(header);
  journal.commit(1, 0, 0);
  const uint64_t end = journal.bytes.size();
  for (const uint32_t type : {8, 9}) {
    SealedJournal with = journal;
    with.record(type, "text");
    const ReadJournal read = read_journal(StringSource(with.bytes));
    EXPECT_EQ(read.end, end);
    EXPECT_EQ(read.hot, type == 8 ? "text" : "");
    with.commit(2, 0, 0);
    EXPECT_EQ(error_of([&] { read_journal(StringSource(with.bytes)); }),
              fmt::format("record at byte {}: record of type {}", end, type));
  }
  SealedJournal large = journal;
  large.record(8, std::string((1 << 20) + 1, '1'));
  EXPECT_EQ(read_journal(StringSource(large.bytes)).hot, "");
  // A length that nothing could be allocated for.
  const std::string huge =
      journal.bytes + le(uint64_t{8}) + le(UINT64_MAX - 7) + std::string(99, 0);
  EXPECT_EQ(read_journal(StringSource(huge)).whole, end);
}

// ---- What it is good for ----

// (layers, experts) whether it is in memory, once what is on its way has come.
std::vector<bool> resident(const Engine& engine) {
  std::vector<bool> all;
  for (int64_t l = 0; l < engine.config().layers; ++l) {
    for (int32_t e = 0; e < engine.config().most_experts(); ++e) {
      all.push_back(engine.holds_expert(l, e));
    }
  }
  return all;
}

int64_t wait_for_experts(const Engine& engine, int64_t wanted) {
  int64_t there = 0;
  for (int i = 0; i < 1000 && there < wanted; ++i) {
    there = std::ranges::count(resident(engine), true);
    if (there < wanted) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return there;
}

TEST_F(HotRecord, IsWhatTheNextEngineBeginsWith) {
  Engine first = limited_engine();
  save_turns(first, 1, 12);
  const std::vector<float> rates = parse_hot_set(read().hot, 3, 8);

  Engine cold = limited_engine(), warmed = limited_engine();
  warm(warmed);
  const int64_t room = warmed.memory()->slots;
  ASSERT_LT(room, 24);
  EXPECT_EQ(wait_for_experts(cold, 0), 0);
  EXPECT_EQ(wait_for_experts(warmed, room), room);
  float least = 1, most = 0;  // of what is there, and of what is not
  const std::vector<bool> there = resident(warmed);
  for (size_t i = 0; i < rates.size(); ++i) {
    there[i] ? least = std::min(least, rates[i]) : most = std::max(most, rates[i]);
  }
  EXPECT_GE(least, most);
  EXPECT_GT(least, 0);

  // The first token of what was said finds more, and is the same.
  const Token token = saved.tokens[1];
  const auto evaluate = [&](Engine& engine) {
    const auto logits = engine.evaluate({engine.cache().create(), {&token, 1}});
    return std::vector<float>(logits.begin(), logits.end());
  };
  EXPECT_EQ(evaluate(warmed), evaluate(cold));
  const CachedExpertsStats a = cold.memory()->experts, b = warmed.memory()->experts;
  EXPECT_EQ(a.found, 0u);
  EXPECT_GT(b.found, 0u);
  EXPECT_EQ(a.asked, b.asked);
}

TEST_F(HotRecord, ChangesNothingThatHasBegunOrHasNoBudget) {
  Engine first = limited_engine();
  save_turns(first, 1, 3);
  Engine plain = engine_of("micro-4b-style");
  warm(plain);

  Engine begun = limited_engine();
  save_turns(begun, 3, 3);
  const std::string before = begun.hot_set();
  Engine other = limited_engine();
  save_turns(other, 4, 9);
  EXPECT_NE(read().hot, before);
  warm(begun);
  EXPECT_EQ(begun.hot_set(), before);

  Engine own = limited_engine({.hot_set = folder / "own.hot"});  // which is not there yet
  warm(own);
  EXPECT_EQ(own.memory()->experts.bytes_read, 0u);
}

// With other experts, as in the command line's hot sets; without a budget nobody asks.
TEST_F(HotRecord, OfAnotherModelIsToldAndReplaced) {
  Engine first = limited_engine();
  save_turns(first, 1, 1);
  const std::string hot = read().hot;
  const std::string differs =
      "hot set of another model: 'layers 3 experts 8', want 'layers 5 "
      "experts 8': no expert is read ahead";
  Engine plain = engine_of("micro-21b-style-softmax"),
         other = limited_engine({}, "micro-21b-style-softmax");
  const std::vector<std::string> unasked = notices(plain), told = notices(other);
  ASSERT_EQ(told.size(), unasked.size() + 1);
  EXPECT_EQ(told.back(), differs);
  EXPECT_EQ(std::ranges::count(unasked, differs), 0);
  EXPECT_EQ(other.memory()->experts.bytes_read, 0u);
  save_turns(plain, 2, 2);
  EXPECT_EQ(read().hot, hot);
  save_turns(other, 3, 3);
  EXPECT_EQ(read().hot, other.hot_set());
  EXPECT_EQ(notices(other).size(), 0u);
}

TEST_F(HotRecord, ThatIsNoneIsTold) {
  Engine engine = limited_engine();
  SealedJournal journal(format_header(header_of(engine, "template")));
  journal.commit(1, 0, 0);
  journal.record(8, "smallthinker-hot-set 1\nlayers 3 experts 8\n1 2 3\n");
  write(journal.bytes);
  EXPECT_EQ(notices(engine),
            std::vector<std::string>{
                "hot set: layer 0, expert 3: want 0..10000: no expert is read ahead"});
  EXPECT_EQ(engine.memory()->experts.bytes_read, 0u);
}

}  // namespace
}  // namespace st::chats
