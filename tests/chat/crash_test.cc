// Conversations that are saved while the process is killed or the power goes: the last turn that
// was saved is there, whole, or the one that was being saved.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <random>

#include "chat/saved_chat.h"
#include "support/bytes.h"
#include "support/scale.h"
#include "support/temporary_folder.h"

namespace {

std::vector<uint64_t>* g_synced = nullptr;  // sizes of files that were synced

}  // namespace

// In place of the C library's: tells when what was written before is on the disk.
extern "C" int fdatasync(int fd) {
  struct stat info{};
  if (g_synced != nullptr && ::fstat(fd, &info) == 0) {
    g_synced->push_back(static_cast<uint64_t>(info.st_size));
  }
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}

namespace st::chats {
namespace {

class Crashes : public testing::Test {
 protected:
  // What was loaded is a turn, and its keys and values are those of its tokens.
  int64_t loaded_turn() {
    Journal journal(engine, path, "template", kKept);
    const std::string& settings = journal.chat().settings;
    if (settings.empty()) {
      EXPECT_EQ(journal.chat(), ChatState());
      return 0;
    }
    const int64_t turn = std::strtoll(settings.c_str() + 8, nullptr, 10);
    EXPECT_EQ(journal.chat(), chat.at(turn));
    const SequenceId read = engine.cache().create();
    EXPECT_TRUE(journal.restore(read));
    chat.hold(chat.at(turn));
    EXPECT_EQ(tiles_of(engine, read), tiles_of(engine, chat.sequence()));
    engine.cache().erase(read);
    return turn;
  }

  // Saves turns after `turn` and tells of it and each, until it is killed.
  [[noreturn]] void save_on(int64_t turn, int tell) {
    Journal journal(engine, path, "template", kKept);
    while (::write(tell, &turn, sizeof turn) == sizeof turn) chat.save(journal, ++turn);
    ::_exit(1);
  }

  const TemporaryFolder folder;
  const std::string path = folder / "a.stsession";
  Engine engine = engine_of("micro-4b-style");
  SavedChat chat{engine};
};

TEST_F(Crashes, KilledWhileSaving) {
  std::mt19937_64 random(static_cast<uint64_t>(::getpid()));
  const int64_t kills = testkit::scaled(200);
  int64_t saved = 0, between = 0;
  for (int64_t i = 0; i < kills; ++i) {
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    if (child == 0) save_on(saved, pipe[1]);
    ::close(pipe[1]);
    // After some turns, at any moment of the next.
    int64_t told = -1;
    double seconds = 0;
    for (uint64_t turns = 2 + random() % 3; turns > 0; --turns) {
      const auto begin = Clock::now();
      ASSERT_EQ(::read(pipe[0], &told, sizeof told), sizeof told);
      seconds = seconds_since(begin);
    }
    ::usleep(static_cast<useconds_t>(seconds * static_cast<double>(random() % 1'500'000)));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    while (::read(pipe[0], &told, sizeof told) == sizeof told) {
    }
    ::close(pipe[0]);
    const int64_t loaded = loaded_turn();
    ASSERT_TRUE(loaded == told || loaded == told + 1) << loaded << " after " << told;
    ASSERT_LE(folder.entries(), 2u);  // and a temporary file that the next one removes
    between += loaded != told;
    saved = loaded;
  }
  EXPECT_GT(saved, kills);
  std::printf("killed %lld times, %lld turns saved, %lld of them not yet told\n",
              static_cast<long long>(kills), static_cast<long long>(saved),
              static_cast<long long>(between));
}

// Of what was written since the last sync any sectors may be missing or be anything.
TEST_F(Crashes, PowerGoesWhileSaving) {
  std::vector<uint64_t> synced;
  std::vector<std::pair<uint64_t, int64_t>> ends;  // of turns in the file
  {
    Journal journal(engine, path, "template", kKept);
    chat.save(journal, 1);
    ends.push_back({read_all(path).size(), 1});
    synced.push_back(ends.back().first);
    g_synced = &synced;
    for (const int64_t turn : {2, 3, 4}) {
      ChatState state = chat.at(turn);
      state.tokens = chat.at(1).tokens;
      state.tokens.resize(static_cast<size_t>(70 * turn), 3);
      chat.hold(state);
      journal.save(state, chat.sequence(), {});
      ends.push_back({read_all(path).size(), turn});
    }
    g_synced = nullptr;
  }
  ASSERT_EQ(synced.size(), 7u);  // twice a turn: before it counts, and when it does
  const std::string whole = read_all(path);
  ASSERT_EQ(whole.size(), synced.back());

  std::mt19937_64 random(5);
  constexpr uint64_t kSector = 512;
  for (int64_t i = 0; i < testkit::scaled(300); ++i) {
    const size_t at = static_cast<size_t>(random() % (synced.size() - 1));
    std::string left = whole.substr(0, synced[at]);
    left += whole.substr(synced[at], random() % (synced[at + 1] - synced[at] + 1));
    for (uint64_t begin = synced[at]; begin < left.size(); begin += kSector) {
      const uint64_t what = random() % 4;
      const uint64_t count = std::min(kSector, left.size() - begin);
      for (uint64_t k = begin; what < 2 && k < begin + count; ++k) {
        left[k] = what == 0 ? '\0' : static_cast<char>(random());
      }
    }
    std::ofstream(path, std::ios::binary | std::ios::trunc) << left;
    int64_t least = 0;
    for (const auto& [end, turn] : ends) least = end <= synced[at] ? turn : least;
    const ReadJournal read = read_journal(File(path));
    const std::string& settings = read.contents.chat().settings;
    const int64_t turn = std::strtoll(settings.c_str() + 8, nullptr, 10);
    if (left == whole.substr(0, left.size()) && left.size() == synced[at + 1]) {
      EXPECT_GE(turn, least);
    } else {
      EXPECT_EQ(turn, least) << i;
    }
  }
}

}  // namespace
}  // namespace st::chats
