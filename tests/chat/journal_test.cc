// The file of a conversation: who may have it, what becomes of it, what it is good for.
#include "chat/journal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "chat/file_limit.h"
#include "chat/saved_chat.h"
#include "chat/session_folder.h"
#include "support/bytes.h"
#include "support/temporary_folder.h"

namespace st::chats {
namespace {

using testkit::contains;
using testkit::error_of;

class Journals : public testing::Test {
 protected:
  // The message without the path.
  std::string refusal(JournalOptions options = kKept) {
    const std::string error = error_of([&] { Journal(engine, path, "template", options); });
    return error.starts_with(path + ": ") ? error.substr(path.size() + 2) : error;
  }
  void save_turns(int64_t first, int64_t last) {
    Journal journal(engine, path, "template", kKept);
    for (int64_t turn = first; turn <= last; ++turn) chat.save(journal, turn);
  }
  uint64_t size() const { return read_all(path).size(); }

  const TemporaryFolder folder;
  const std::string path = folder / "a.stsession";
  Engine engine = engine_of("micro-4b-style");
  SavedChat chat{engine};
};

TEST_F(Journals, BelongToOneProcessAndItsUser) {
  {
    Journal journal(engine, path, "template", kKept);
    EXPECT_EQ(refusal(), "in use by another process");
    chat.save(journal, 1);
    EXPECT_EQ(refusal(), "in use by another process");
  }
  EXPECT_EQ(refusal(), "no error");
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(folder.entries(), 1u);
}

TEST_F(Journals, AreThereFromTheirFirstTurnOn) {
  {
    const Journal journal(engine, path, "template", kKept);
  }
  EXPECT_EQ(folder.entries(), 0u);
  save_turns(1, 1);
  EXPECT_EQ(folder.entries(), 1u);
}

TEST_F(Journals, AreRegularFilesAndNoLinks) {
  save_turns(1, 1);
  const std::string link = folder / "link";
  ASSERT_EQ(::symlink(path.c_str(), link.c_str()), 0);
  const auto opened = [&](const std::string& name) {
    return error_of([&] { Journal(engine, name, "template", kKept); });
  };
  EXPECT_EQ(opened(link), link + ": is a symbolic link");
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(opened(folder / "fifo"), (folder / "fifo") + ": not a regular file");
  EXPECT_EQ(opened(folder.path()), folder.path() + ": cannot open: Is a directory");
  EXPECT_EQ(opened(folder / "no/a"),
            (folder / "no/a") + ": cannot open: No such file or directory");
  ASSERT_EQ(::symlink("nowhere", (folder / "dangling").c_str()), 0);
  EXPECT_EQ(opened(folder / "dangling"), (folder / "dangling") + ": is a symbolic link");
}

// A turn appends its own tiles only; nothing new appends nothing.
TEST_F(Journals, GrowByWhatIsNew) {
  Journal journal(engine, path, "template", kKept);
  ChatState state = chat.at(1);
  while (state.tokens.size() < 600) state.tokens.push_back(9);
  chat.hold(state);
  journal.save(state, chat.sequence(), {});
  const uint64_t before = size(), tile = engine.cache().tile_groups()[0].bytes;
  EXPECT_GT(before, 5 * tile);
  EXPECT_LT(before, 5 * tile + 8000);
  journal.save(state, chat.sequence(), {});
  EXPECT_EQ(size(), before);
  state.tokens.push_back(10);
  state.messages.push_back(user("more"));
  chat.hold(state);
  journal.save(state, chat.sequence(), {});
  EXPECT_GT(size(), before + tile);
  EXPECT_LT(size(), before + tile + 600);
}

TEST_F(Journals, AreAtMostTwiceWhatIsLeft) {
  Journal journal(engine, path, "template", kKept);
  for (int64_t turn = 1; turn <= 100; ++turn) {
    chat.save(journal, turn);
    const std::string anew = folder / "anew";
    {
      Journal other(engine, anew, "template", kKept);
      other.save(chat.at(turn), chat.sequence(), {});
    }
    ASSERT_LE(size(), 2 * read_all(anew).size()) << turn;
    ::unlink(anew.c_str());
  }
}

TEST_F(Journals, KeepKeysAndValuesWhereThatPays) {
  const uint64_t tile = engine.cache().tile_groups()[0].bytes;
  ChatState state = chat.at(1);  // 42 tokens
  chat.hold(state);
  const auto saved = [&](JournalOptions options, double prompt_seconds) {
    const std::string name = folder / "b";
    ::unlink(name.c_str());
    Journal journal(engine, name, "template", options);
    journal.save(state, chat.sequence(), {.prompt_tokens = 1000, .prompt_seconds = prompt_seconds});
    return read_all(name).size() > tile;
  };
  EXPECT_TRUE(saved({.keep = KeepKv::kAlways}, 0));
  EXPECT_FALSE(saved({.keep = KeepKv::kNever}, 10));
  EXPECT_TRUE(saved({}, 100));  // 10 tokens a second: 4.2 s for a tile
  EXPECT_FALSE(saved({}, 1e-3));
  EXPECT_TRUE(saved({.limit = tile}, 100));
  EXPECT_FALSE(saved({.limit = tile - 1}, 100));
  EXPECT_FALSE(saved({.keep = KeepKv::kAlways, .limit = tile - 1}, 100));
}

// What was not used for longest loses its keys and values first, and no more than it must.
TEST_F(Journals, MakeRoomForOthers) {
  ::setenv("XDG_STATE_HOME", folder.path().c_str(), 1);
  const auto saved = [&](const std::string& name, int64_t turn) {
    Journal journal(engine, session_path(name), "template", kKept);
    chat.save(journal, turn);
    const timespec time{.tv_sec = 1000 + turn, .tv_nsec = 0};
    const timespec times[2] = {time, time};
    ::utimensat(AT_FDCWD, journal.path().c_str(), times, 0);
    return read_all(journal.path()).size();
  };
  const uint64_t all = saved("a", 1) + saved("b", 2) + saved("c", 3) + saved("d", 4);
  EXPECT_EQ(shrink_sessions(all), std::vector<std::string>());
  {
    const Journal held(engine, session_path("a"), "template");
    EXPECT_EQ(shrink_sessions(all - 10'000), std::vector<std::string>{"b"});
  }
  EXPECT_EQ(shrink_sessions(0), (std::vector<std::string>{"a", "c", "d"}));
  EXPECT_EQ(shrink_sessions(0), std::vector<std::string>());
  for (int64_t turn = 1; const char* name : {"a", "b", "c", "d"}) {
    Journal journal(engine, session_path(name), "template");
    EXPECT_EQ(journal.chat().messages, chat.at(turn).messages);
    EXPECT_EQ(journal.chat().settings, chat.at(turn++).settings);
    EXPECT_FALSE(journal.restore(engine.cache().create()));
    EXPECT_EQ(journal.take_notices(), std::vector<std::string>());
    engine.cache().erase(1);
  }
  ::unsetenv("XDG_STATE_HOME");
}

// ---- A full disk ----

TEST_F(Journals, OutliveAFullDisk) {
  Journal journal(engine, path, "template", kKept);
  {
    const FileLimit limit(1000);
    EXPECT_EQ(error_of([&] { chat.save(journal, 1); }), path + ": cannot write: File too large");
    EXPECT_EQ(folder.entries(), 1u);  // empty still
  }
  chat.save(journal, 1);
  const std::string before = read_all(path);
  {
    const FileLimit limit(before.size() + 1000);
    EXPECT_EQ(error_of([&] { chat.save(journal, 2); }), path + ": cannot write: File too large");
    EXPECT_EQ(error_of([&] { chat.save(journal, 3); }), path + ": cannot write: File too large");
  }
  EXPECT_EQ(read_all(path), before);
  chat.save(journal, 4);
  std::optional<Journal> again;
  EXPECT_EQ(refusal(), "in use by another process");
}

TEST_F(Journals, AreTheSameAfterAFullDisk) {
  {
    Journal journal(engine, path, "template", kKept);
    chat.save(journal, 1);
    const FileLimit limit(size() + 1000);
    error_of([&] { chat.save(journal, 2); });
  }
  const Journal journal(engine, path, "template", kKept);
  EXPECT_EQ(journal.chat(), chat.at(1));
}

TEST_F(Journals, ComeBackWhenTheyWereRemovedAndSpareOtherFiles) {
  Journal journal(engine, path, "template", kKept);
  chat.save(journal, 1);
  ::unlink(path.c_str());
  chat.save(journal, 2);
  EXPECT_EQ(refusal(), "in use by another process");
  ::unlink(path.c_str());
  std::ofstream(path) << "mine";
  EXPECT_EQ(error_of([&] { chat.save(journal, 3); }), path + ": another file has this name now");
  EXPECT_EQ(read_all(path), "mine");
}

// ---- Another engine ----

class JournalElsewhere : public Journals {
 protected:
  struct Opened {
    ChatState chat;
    bool restored = false;
    std::vector<std::string> notices;
  };
  // Without the path.
  Opened opened(Engine& other, const std::string& template_source = "template") {
    Journal journal(other, path, template_source, kKept);
    Opened result{.chat = journal.chat()};
    result.restored = journal.restore(other.cache().create());
    for (const std::string& notice : journal.take_notices()) {
      result.notices.push_back(notice.substr(path.size() + 2));
    }
    return result;
  }
  void expect_text_alone(const Opened& got, const std::string& notice) {
    EXPECT_FALSE(got.restored);
    EXPECT_EQ(got.chat.messages, chat.at(2).messages);
    EXPECT_EQ(got.notices, std::vector<std::string>{notice});
  }

  void SetUp() override { save_turns(1, 2); }
};

TEST_F(JournalElsewhere, IsTheSameInOneThatIsAlike) {
  Engine other = engine_of("micro-4b-style", {.context = 300});
  const Opened got = opened(other);
  EXPECT_TRUE(got.restored);
  EXPECT_EQ(got.chat, chat.at(2));
  EXPECT_EQ(got.notices, std::vector<std::string>());
}

TEST_F(JournalElsewhere, IsTextForAnotherModel) {
  Engine other = engine_of("micro-qwen3");
  const std::string model = engine.config().name;
  expect_text_alone(opened(other), "keys and values are of another model, '" +
                                       (model.empty() ? "smallthinker" : model) +
                                       "': they are evaluated anew");
}

TEST_F(JournalElsewhere, IsTextForAnotherType) {
  Engine other = engine_of("micro-4b-style", {.cache_type = KvType::kI8});
  expect_text_alone(opened(other),
                    "keys and values are of type f32, not i8: they are evaluated anew");
}

TEST_F(JournalElsewhere, IsTextWhereItDoesNotFit) {
  Engine other = engine_of("micro-4b-style", {.context = 64});
  expect_text_alone(opened(other),
                    "keys and values of 79 tokens do not fit the context of 64: they "
                    "are evaluated anew");
}

TEST_F(JournalElsewhere, IsUsedWithAnotherTemplate) {
  const Opened got = opened(engine, "another");
  EXPECT_TRUE(got.restored);
  EXPECT_EQ(got.notices, std::vector<std::string>{"another template wrote its prompts: what is the "
                                                  "same is used, the rest evaluated anew"});
}

TEST_F(JournalElsewhere, IsUsedWithOtherKernelsUnlessItMustBeExact) {
  Engine scalar = engine_of("micro-4b-style", {.kernels = "scalar"});
  if (scalar.kernels() == engine.kernels()) GTEST_SKIP() << "there are no others";
  const std::string of =
      fmt::format("keys and values are of {} kernels, not scalar: ", engine.kernels());
  const Opened got = opened(scalar);
  EXPECT_TRUE(got.restored);
  EXPECT_EQ(got.chat, chat.at(2));
  EXPECT_EQ(got.notices, std::vector<std::string>{of + "bits may differ from a fresh run"});
  EXPECT_EQ(error_of([&] { Journal(scalar, path, "template", {.exact = true}); }),
            path + ": " + of + "not exact");
  // Once it was saved by both it is exact for neither.
  {
    Journal journal(scalar, path, "template", kKept);
    SavedChat other(scalar);
    other.save(journal, 3);
  }
  EXPECT_EQ(opened(engine).notices.size(), 1u);
  EXPECT_EQ(opened(scalar).notices.size(), 1u);
}

TEST(JournalHeader, DiffersByWhatKeysAndValuesDependOn) {
  const JournalHeader header{.model = "m",
                             .fingerprint = "1",
                             .vocabulary = "2",
                             .chat_template = "3",
                             .kernels = "avx2",
                             .kv_heads = 2,
                             .head_dim = 4,
                             .vocab = 5,
                             .groups = {{0, 1, 7}}};
  const auto changed = [&](auto change) {
    JournalHeader other = header;
    change(other);
    return difference(header, other);
  };
  EXPECT_EQ(changed([](JournalHeader&) {}), "");
  EXPECT_EQ(changed([](JournalHeader& h) { h.kernels = "x", h.chat_template = "x"; }), "");
  EXPECT_EQ(changed([](JournalHeader& h) { h.fingerprint = "x"; }), "of another model, 'm'");
  EXPECT_EQ(changed([](JournalHeader& h) { h.vocabulary = "x"; }), "of another vocabulary");
  EXPECT_EQ(changed([](JournalHeader& h) { h.type = KvType::kI8; }), "of type f32, not i8");
  EXPECT_EQ(changed([](JournalHeader& h) { h.kv_heads = 3; }), "of other layers");
  EXPECT_EQ(changed([](JournalHeader& h) { h.groups[0].window = 3; }), "of other layers");
}

}  // namespace
}  // namespace st::chats
