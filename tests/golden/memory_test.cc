// An engine with a budget whose file, sandbox or budget changes while it runs: the same tokens, or
// one clear error and then the same tokens.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <random>
#include <thread>

#include "golden/fixture.h"
#include "support/bytes.h"
#include "support/faulty_reader.h"
#include "support/feed_at.h"
#include "support/sandbox.h"
#include "support/temporary_folder.h"
#include "support/test_page.h"

namespace st::golden {
namespace {

using namespace testkit;

constexpr int kTokens = 60;

std::vector<Token> some_tokens() {
  std::vector<Token> ids;
  for (int i = 0; i < kTokens; ++i) ids.push_back(static_cast<Token>((i * 7919 + 13) % 4077));
  return ids;
}

EngineOptions with_budget() {
  return {.threads = 2, .context = 256, .memory = uint64_t{1} << 30, .page = test_page()};
}

// Room for so many experts from now on.
void set_room(Engine& engine, int64_t experts) {
  const MemoryPlan plan = engine.memory()->plan;
  engine.set_memory(plan.fixed(plan.tokens) + plan.kv_full +
                    static_cast<uint64_t>(experts) * plan.expert);
}

std::vector<float> step(Engine& engine, int i) {
  const Token token = some_tokens()[static_cast<size_t>(i)];
  const auto logits = engine.evaluate(testkit::feed_at(engine, std::span(&token, 1), i, false));
  return {logits.begin(), logits.end()};
}

// Logits after each token, one pass each, from an engine that holds everything: (tokens)(V).
const std::vector<std::vector<float>>& expected() {
  static const std::vector<std::vector<float>> rows = [] {
    Engine engine(converted(kTiny, DType::kQ4_0, true), {.threads = 1, .context = 256});
    std::vector<std::vector<float>> all;
    for (int i = 0; i < kTokens; ++i) all.push_back(step(engine, i));
    return all;
  }();
  return rows;
}

bool right(const std::vector<float>& row, int i) {
  const auto& want = expected()[static_cast<size_t>(i)];
  return row.size() == want.size() &&
         std::memcmp(row.data(), want.data(), row.size() * sizeof(float)) == 0;
}

// A copy of the model that a test may spoil, and make whole again as if nothing had been.
class Victim {
 public:
  explicit Victim(const std::string& folder = "") {
    path_ = folder.empty() ? folder_ / "model.gguf" : folder + "/st-memory-test.gguf";
    std::filesystem::copy_file(source(), path_, std::filesystem::copy_options::overwrite_existing);
    ::stat(path_.c_str(), &whole_);
  }
  ~Victim() { std::filesystem::remove(path_); }

  const std::string& path() const { return path_; }
  uint64_t size() const { return static_cast<uint64_t>(whole_.st_size); }
  std::string beside() const { return path_ + ".new"; }
  void restore() const {
    std::ifstream in(source(), std::ios::binary);
    std::ofstream(path_, std::ios::binary) << in.rdbuf();
    const timespec times[] = {whole_.st_atim, whole_.st_mtim};
    ASSERT_EQ(::utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  }

 private:
  static std::string source() { return converted(kTiny, DType::kQ4_0, true); }
  TemporaryFolder folder_;
  std::string path_;
  struct stat whole_{};
};

struct Damage {
  const char* name;
  std::function<void(const Victim&)> body;
};

const std::vector<Damage>& damages() {
  static const std::vector<Damage> all = {
      {"cut to half",
       [](const Victim& v) { std::filesystem::resize_file(v.path(), v.size() / 2); }},
      {"emptied", [](const Victim& v) { std::filesystem::resize_file(v.path(), 0); }},
      {"overwritten", [](const Victim& v) {
         std::fstream file(v.path(), std::ios::in | std::ios::out | std::ios::binary);
         file.seekp(static_cast<std::streamoff>(v.size() / 2));
         file << std::string(v.size() / 4, 'x');
       }}};
  return all;
}

// Between two tokens, and in the middle of a pass.
TEST(Memory, ADamagedFileIsAnErrorAndNeverAWrongToken) {
  for (const Damage& damage : damages()) {
    for (const bool within_a_pass : {false, true}) {
      SCOPED_TRACE(std::string(damage.name) + (within_a_pass ? " within a pass" : ""));
      const Victim victim;
      Engine engine(victim.path(), with_budget());
      set_room(engine, engine.memory()->plan.fewest);
      for (int i = 0; i < 20; ++i) ASSERT_TRUE(right(step(engine, i), i)) << i;
      if (within_a_pass) {
        engine.observe_routing([&](int64_t layer, std::span<const int32_t>) {
          if (layer == 1) damage.body(victim);
        });
      } else {
        damage.body(victim);
      }
      for (int attempt = 0; attempt < 2; ++attempt) {
        try {
          step(engine, 20);
          FAIL() << "evaluated";
        } catch (const Error& e) {
          EXPECT_EQ(e.code(), ErrorCode::kIo) << e.what();
          EXPECT_TRUE(contains(e.what(), "while in use") || contains(e.what(), "truncated") ||
                      contains(e.what(), "end of file"))
              << e.what();
          EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
        }
      }
      engine.observe_routing({});
      // Made whole again, to the time of its last change: nobody can know that it is the same.
      victim.restore();
      EXPECT_EQ(error_of([&] { step(engine, 20); }),
                victim.path() + ": the file was changed while in use");
      Engine again(victim.path(), with_budget());
      for (int i = 0; i < kTokens; ++i) ASSERT_TRUE(right(step(again, i), i)) << i;
    }
  }
}

TEST(Memory, AReplacedFileIsReadAsItWas) {
  const Victim victim;
  Engine engine(victim.path(), with_budget());
  set_room(engine, engine.memory()->plan.fewest);
  for (int i = 0; i < kTokens; ++i) {
    if (i == 20) {
      std::ofstream(victim.beside()) << "something else";
      std::filesystem::rename(victim.beside(), victim.path());
    }
    ASSERT_TRUE(right(step(engine, i), i)) << i;
  }
}

TEST(Memory, TheSameWithoutIoUringAndWithoutDirectReads) {
  for (const std::string folder : {"", "/dev/shm"}) {
    for (const bool uring : {true, false}) {
      const Victim victim(folder);
      in_own_thread([&] {
        // An emulator has no filters, and no io_uring either.
        if (!uring && can_forbid()) forbid(SYS_io_uring_setup, EPERM);
        Engine engine(victim.path(), with_budget());
        set_room(engine, engine.memory()->plan.fewest);
        const bool noted = std::ranges::any_of(engine.notices(), [](const std::string& notice) {
          return contains(notice, "no io_uring");
        });
        EXPECT_TRUE(uring || noted);
        for (int i = 0; i < kTokens; ++i) ASSERT_TRUE(right(step(engine, i), i)) << i;
      });
    }
  }
}

TEST(Memory, MayChangeBetweenAnyTwoTokens) {
  const Victim victim;
  // Few tokens at a time, so that no scratch is freed that other experts may take.
  EngineOptions options = with_budget();
  options.micro_batch = 8;
  Engine engine(victim.path(), options);
  const MemoryPlan plan = engine.memory()->plan;
  std::mt19937 random(1);
  for (int i = 0; i < kTokens; ++i) {
    ASSERT_TRUE(right(step(engine, i), i)) << i;
    const auto more = static_cast<int64_t>(random()) % (plan.experts - plan.fewest + 10);
    set_room(engine, plan.fewest + more);
    ASSERT_LE(engine.memory()->slots, plan.experts);
  }
  set_room(engine, plan.experts);
  engine.evaluate(testkit::feed_at(engine, some_tokens(), 0, false));
  const uint64_t large = resident_memory();
  set_room(engine, plan.fewest);
  const uint64_t small = resident_memory();
  // Budgets are for a full context; until there is one, experts have its memory.
  const auto spare =
      static_cast<int64_t>((plan.kv_full - engine.cache().bytes_in_use()) / plan.expert);
  ASSERT_EQ(engine.memory()->slots, plan.fewest + spare);
  const auto gone = static_cast<uint64_t>(plan.experts - plan.fewest - spare) * plan.expert;
  EXPECT_GE(large, small + gone / 2) << large << " " << small;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(right(step(engine, i), i)) << i;
  EXPECT_LT(resident_memory(), small + plan.expert * 16 + (4 << 20));
}

// Down to what one token at a time needs, however large the micro-batches were until then.
TEST(Memory, MayShrinkMicroBatches) {
  const Victim victim;
  Engine engine(victim.path(), with_budget());
  const MemoryPlan plan = engine.memory()->plan;
  ASSERT_GT(plan.tokens, 64);
  const auto fewest = static_cast<uint64_t>(plan.fewest) * plan.expert;
  const uint64_t least = plan.fixed(1) + plan.kv_full + fewest;
  engine.set_memory(least);
  EXPECT_EQ(engine.memory()->plan.tokens, 1);
  const std::string error = error_of([&] { engine.set_memory(least - 1); });
  EXPECT_TRUE(contains(error, " MiB is too small: ")) << error;  // how large, the run decides
  const auto logits = engine.evaluate(testkit::feed_at(engine, some_tokens(), 0, false));
  EXPECT_TRUE(right({logits.begin(), logits.end()}, kTokens - 1));
  engine.set_memory(plan.budget);
  EXPECT_EQ(engine.memory()->plan.tokens, plan.tokens);
  const auto again = engine.evaluate(testkit::feed_at(engine, some_tokens(), 0, false));
  EXPECT_TRUE(right({again.begin(), again.end()}, kTokens - 1));
}

// Who samples between two passes may change the budget first.
TEST(Memory, LogitsOutliveAChangeOfTheBudget) {
  EngineOptions options = with_budget();
  options.micro_batch = 8;
  Engine engine(converted(kTiny, DType::kQ4_0, true), options);
  const std::vector<Token> ids = some_tokens();
  const auto logits = engine.evaluate(testkit::feed_at(engine, std::span(ids).first(8), 0, false));
  const MemoryPlan plan = engine.memory()->plan;
  const auto fewest = static_cast<uint64_t>(plan.fewest) * plan.expert;
  engine.set_memory(plan.fixed(1) + plan.kv_full + fewest);
  ASSERT_EQ(engine.memory()->plan.tokens, 1);
  const std::vector<char> other_use(size_t{1} << 16, 'x');  // of what was freed, perhaps
  EXPECT_TRUE(right({logits.begin(), logits.end()}, 7));
  EXPECT_TRUE(right(step(engine, 8), 8));
}

// A control group that takes memory back, between two tokens or in the middle of a prompt, gets it.
TEST(Memory, GivesWayInItsControlGroup) {
  constexpr int64_t kBatch = 16;
  constexpr uint64_t kPlenty = uint64_t{1} << 40;
  const Victim victim;
  uint64_t limit = kPlenty;
  EngineOptions options = with_budget();
  options.micro_batch = kBatch;
  options.groups = [&] {
    return CgroupMemory{.limit = limit, .available = limit - std::min(anonymous_memory(), limit)};
  };
  Engine engine(victim.path(), options);
  const MemoryPlan plan = engine.memory()->plan;
  const auto set = [&](uint64_t bytes) {
    limit = bytes;
    std::this_thread::sleep_for(std::chrono::milliseconds(110));  // it looks ten times a second
  };
  const auto holding = [&](int64_t tokens, int64_t experts) {
    return plan.fixed(tokens) + engine.cache().bytes(kTokens) +
           static_cast<uint64_t>(experts) * plan.expert;
  };
  for (int i = 0; i < kTokens; ++i) {
    const int64_t left = plan.experts - i / 12 * 30;
    if (i % 12 == 0 && i > 0) set(holding(kBatch, left));
    ASSERT_TRUE(right(step(engine, i), i)) << i;
    ASSERT_LE(engine.memory()->slots, left + kBatch) << i;  // there is scratch for 8 tokens, not 16
  }
  set(kPlenty);
  EXPECT_TRUE(right(step(engine, 0), 0));
  EXPECT_EQ(engine.memory()->slots, plan.experts);

  int passes = 0;
  engine.observe_routing([&](int64_t layer, std::span<const int32_t>) {
    if (layer == 0 && ++passes == 1) set(holding(1, plan.fewest));
  });
  const auto logits = engine.evaluate(testkit::feed_at(engine, some_tokens(), 0, false));
  EXPECT_TRUE(right({logits.begin(), logits.end()}, kTokens - 1));
  EXPECT_EQ(engine.memory()->slots, plan.fewest);
  EXPECT_EQ(passes, 1 + kTokens - kBatch);  // token by token
}

// An embedding that is in memory as the output is not read from the file token by token.
TEST(Memory, ATiedEmbeddingStaysInMemory) {
  for (const bool tied : {false, true}) {
    const std::string path = tied ? converted("variants/micro-odd-sharded", DType::kF16, false)
                                  : converted(kTiny, DType::kQ4_0, true);
    Engine engine(path, with_budget());
    std::vector<Token> many(40);  // of whose rows not all stay
    std::iota(many.begin(), many.end(), 1);
    bool read_nothing = false;  // once experts are there, those of wrong guesses too
    for (int i = 0; i < 10; ++i) {
      const uint64_t before = engine.memory()->experts.bytes_read;
      engine.evaluate(testkit::feed_at(engine, many, 0));
      read_nothing |= engine.memory()->experts.bytes_read == before;
    }
    EXPECT_EQ(read_nothing, tied);
  }
}

// What a conversation took is the experts' again when another begins in its place.
TEST(Memory, KeysAndValuesGiveWayAsExpertsDo) {
  EngineOptions options = with_budget();
  options.context = 1024;
  options.sequences = 2;
  options.micro_batch = 8;  // as few tokens as scratch is kept for
  Engine engine(converted(kTiny, DType::kQ4_0, true), options);
  set_room(engine, engine.memory()->plan.fewest);
  const auto slots_after = [&](size_t tokens) {
    const std::vector<Token> ids(tokens, 13);
    engine.evaluate(testkit::feed_at(engine, ids, 0, false));
    return engine.memory()->slots;
  };
  const int64_t with_one = slots_after(1);
  EXPECT_LT(slots_after(600), with_one);
  EXPECT_EQ(slots_after(1), with_one);
}

// Keys that sliding layers let go of must not be taken for those that were asked for.
TEST(Memory, GoingBackBeyondTheSlidingWindowIsRefused) {
  const std::string path = converted("variants/micro-21b-style-softmax", DType::kF16, false);
  Engine engine(path, {.threads = 1, .context = 256, .micro_batch = 8});
  std::vector<Token> ids;
  for (int i = 0; i < 200; ++i) ids.push_back(static_cast<Token>((i * 7919 + 13) % 4077));
  const auto part = [&](size_t from, size_t n) {
    const auto logits = engine.evaluate(
        testkit::feed_at(engine, std::span(ids).subspan(from, n), static_cast<int64_t>(from)));
    return std::vector<float>(logits.begin(), logits.end());
  };
  constexpr size_t kWindow = 16;
  const size_t kept = 128 + kWindow - 1;  // sees nothing of the first tile
  part(0, kept);
  const auto want = part(kept, 1);
  EXPECT_EQ(part(kept, 8).size(), want.size());  // as far ahead as a micro-batch
  EXPECT_EQ(part(kept, 1), want);
  part(kept + 1, 11);
  EXPECT_EQ(part(kept, 1), want);  // as far back as tiles are there
  part(kept + 1, 11);
  EXPECT_EQ(error_of([&] { part(kept - 1, 1); }),
            fmt::format("sequence 0: position {}: it holds {} positions, want 0 or {}..{}",
                        kept - 1, kept + 12, kept, kept + 12));
  part(0, kept);
  EXPECT_EQ(part(kept, 1), want);
}

}  // namespace
}  // namespace st::golden
