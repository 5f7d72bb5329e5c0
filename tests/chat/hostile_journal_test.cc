// Files of conversations that are damaged, or made to do damage.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "chat/saved_chat.h"
#include "chat/sealed_journal.h"
#include "support/bytes.h"
#include "support/temporary_folder.h"

namespace st::chats {
namespace {

using testkit::cat;
using testkit::contains;
using testkit::cpu_seconds;
using testkit::error_of;
using testkit::kPatience;
using testkit::le;
using testkit::SealedJournal;
using testkit::StringSource;

// ---- Damage ----

class DamagedJournal : public testing::Test {
 protected:
  void SetUp() override {
    Journal journal(engine, path, "template", {.keep = KeepKv::kAlways});
    for (const int64_t turn : kTurns) {
      chat.save(journal, turn);
      ends.push_back(read_all(path).size());
    }
    file = read_all(path);
    tiles = tiles_of(engine, chat.sequence());
  }

  // It is refused, or an earlier turn, or the last one, whose keys and values are right if there
  // are any.
  void expect_no_other_text(const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    try {
      Journal journal(engine, path, "template", {.keep = KeepKv::kAlways});
      const bool is_turn = std::ranges::any_of(
          kTurns, [&](int64_t turn) { return same_text(journal.chat(), chat.at(turn)); });
      EXPECT_TRUE(is_turn || journal.chat() == ChatState());
      const SequenceId read = engine.cache().create();
      if (journal.restore(read) && journal.chat() == chat.at(kTurns.back())) {
        EXPECT_EQ(tiles_of(engine, read), tiles);
        ++restored;
      }
      engine.cache().erase(read);
      ++opened;
    } catch (const Error& e) {
      EXPECT_TRUE(std::string_view(e.what()).starts_with(path + ": ")) << e.what();
      ++refused;
    }
  }
  static bool same_text(const ChatState& a, const ChatState& b) {
    return a.messages == b.messages && a.settings == b.settings;
  }

  static constexpr std::array<int64_t, 3> kTurns = {1, 2, 4};

  const TemporaryFolder folder;
  const std::string path = folder / "a.stsession";
  Engine engine = engine_of("micro-4b-style", {.cache_type = KvType::kI8});
  SavedChat chat{engine};
  std::vector<uint64_t> ends;
  std::string file, tiles;
  int64_t opened = 0, refused = 0, restored = 0;
};

TEST_F(DamagedJournal, EveryFlippedByteIsNoticed) {
  std::mt19937 random(2);
  for (size_t i = 0; i < file.size(); i += i < 2000 ? 1 + random() % 5 : 1 + random() % 700) {
    std::string bytes = file;
    bytes[i] ^= static_cast<char>(1 << random() % 8);
    expect_no_other_text(bytes);
  }
  EXPECT_GT(refused, 100);   // the header
  EXPECT_GT(restored, 100);  // tiles that later ones have replaced
  EXPECT_GT(opened, restored + 100);
}

TEST_F(DamagedJournal, EveryPrefixIsAnEarlierTurn) {
  std::mt19937 random(2);
  for (size_t i = 0; i < file.size(); i += i < 2000 ? 1 + random() % 5 : 1 + random() % 700) {
    expect_no_other_text(file.substr(0, i));
  }
  EXPECT_EQ(restored, 0);
  for (size_t i = 0; i < ends.size(); ++i) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << file.substr(0, ends[i]) << "torn";
    Journal journal(engine, path, "template");
    EXPECT_EQ(journal.chat(), chat.at(kTurns[i]));
    EXPECT_EQ(
        journal.take_notices(),
        std::vector<std::string>{path + ": the last 4 bytes are no whole turn and are left out"});
  }
  expect_no_other_text(file);
  EXPECT_EQ(restored, 1);
}

// What was damaged is written anew with the next turn.
TEST_F(DamagedJournal, DamagedTilesAreReplaced) {
  std::string bytes = file;
  bytes[file.size() - 300] ^= 1;  // in the last tile
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  {
    Journal journal(engine, path, "template", {.keep = KeepKv::kAlways});
    EXPECT_EQ(journal.chat(), chat.at(kTurns.back()));
    const SequenceId read = engine.cache().create();
    EXPECT_FALSE(journal.restore(read));
    EXPECT_EQ(engine.cache().length(read), 0);
    EXPECT_EQ(journal.take_notices(),
              std::vector<std::string>{path + ": checksum mismatch in tile 1 of group 0: keys and "
                                              "values are evaluated anew"});
    journal.save(chat.at(kTurns.back()), chat.sequence(), {});
    engine.cache().erase(read);
  }
  EXPECT_NE(read_all(path), bytes);
  Journal journal(engine, path, "template");
  const SequenceId read = engine.cache().create();
  EXPECT_TRUE(journal.restore(read));
  EXPECT_EQ(tiles_of(engine, read), tiles);
}

// ---- Forgery ----

const std::string kHeader =
    R"({"model":"m","fingerprint":"f","vocabulary":"v","template":"t","kernels":"k",)"
    R"("cache_type":"i8","kv_heads":1,"head_dim":2,"vocab_size":10,)"
    R"("windows":[{"window":0,"layers":1},{"window":5,"layers":1}]})";

std::string refusal(const std::string& bytes) {
  std::string error;
  EXPECT_LT(cpu_seconds([&] { error = error_of([&] { read_journal(StringSource(bytes)); }); }),
            kPatience);
  return error;
}

// Of a turn of these records; without the place of the record.
template <typename Fill>
std::string refused(Fill fill, int64_t messages = 0, int64_t tokens = 0,
                    const std::vector<int64_t>& first = {}) {
  SealedJournal journal(kHeader);
  fill(journal);
  journal.commit(1, messages, tokens, first);
  const std::string error = refusal(journal.bytes);
  const size_t place = error.find(": ");
  return error.starts_with("record at byte ") ? error.substr(place + 2) : error;
}

std::string tokens_from(int64_t first, const std::vector<Token>& tokens) {
  std::string bytes = le(first);
  for (const Token token : tokens) bytes += le(token);
  return bytes;
}

TEST(ForgedJournal, HeadersAreChecked) {
  EXPECT_EQ(refusal("x"), "truncated: need 8 bytes for magic at 0, 1 left");
  EXPECT_EQ(refusal("GGUF0123456789012345"), "no conversation of this program");
  EXPECT_EQ(refusal(SealedJournal(kHeader, 2).bytes), "version 2 of a conversation, want 1");
  EXPECT_EQ(refusal(SealedJournal(kHeader).bytes), "no turn of it is whole");
  EXPECT_EQ(refusal(cat(std::string("ST-CHAT\0", 8), le(uint32_t{1}), le(UINT32_MAX))),
            "header of 4294967295 bytes, want at most 65536");
  const auto with = [](std::string_view from, std::string_view to) {
    std::string header = kHeader;
    header.replace(header.find(from), from.size(), to);
    return refusal(SealedJournal(header).bytes);
  };
  EXPECT_EQ(with("\"i8\"", "\"i4\""), "header: cache_type: 'i4': want f32, i16 or i8");
  EXPECT_EQ(with("\"kv_heads\":1", "\"kv_heads\":0"),
            "header: kv_heads: want an integer in 1..65536, got 0");
  EXPECT_EQ(with("\"head_dim\":2", "\"head_dim\":4294967296"),
            "header: head_dim: want an integer in 1..65536, got 4294967296");
  EXPECT_EQ(with("\"window\":5", "\"window\":-1"),
            fmt::format("header: window: want an integer in 0..{}, got -1", INT64_MAX));
  EXPECT_EQ(with("\"layers\":1", "\"layers\":65537"),
            "header: layers: want an integer in 1..65536, got 65537");
  EXPECT_EQ(with("\"model\":\"m\"", "\"model\":\"\""), "header: model: want 1..256 bytes, got 0");
  EXPECT_TRUE(contains(with("\"model\":\"m\"", "\"model\":\"m\",\"more\":1"), "more"));
  EXPECT_TRUE(contains(with("{\"model\"", "[\"model\""), "header: "));
}

TEST(ForgedJournal, TokensAreChecked) {
  EXPECT_EQ(refused([](auto& j) { j.record(2, tokens_from(0, {1, 10})); }, 0, 2),
            "token 10, want 0..9");
  EXPECT_EQ(refused([](auto& j) { j.record(2, tokens_from(0, {-1})); }, 0, 1),
            "token -1, want 0..9");
  EXPECT_EQ(refused([](auto& j) { j.record(2, tokens_from(1, {1})); }, 0, 1),
            "tokens from position 1, want 0");
  EXPECT_EQ(refused([](auto& j) { j.record(2, tokens_from(INT64_MIN, {1})); }, 0, 1),
            fmt::format("tokens from position {}, want 0", INT64_MIN));
  EXPECT_EQ(refused([](auto& j) { j.record(2, le(int64_t{0})); }), "tokens: 0, want 1..16777216");
  EXPECT_EQ(refused([](auto& j) { j.record(2, "1234567"); }),
            "record of 7 bytes, want 8 and a multiple of 4");
  EXPECT_EQ(refused([](auto& j) { j.record(2, le(int64_t{0}) + "123"); }),
            "record of 11 bytes, want 8 and a multiple of 4");
}

TEST(ForgedJournal, TilesAreChecked) {
  const std::string values(static_cast<size_t>(KvTile{KvType::kI8, 2}.bytes()), 'x');
  const auto tile = [&](uint32_t group, int64_t number, int64_t end) {
    return refused(
        [&](auto& j) {
          j.record(2, tokens_from(0, std::vector<Token>(200, 1)));
          j.tile(group, number, end, values);
        },
        0, 200);
  };
  EXPECT_EQ(tile(0, 0, 128), "no error");
  EXPECT_EQ(tile(2, 0, 128), "tile of group 2, want 0..1");
  EXPECT_EQ(tile(UINT32_MAX, 0, 128), "tile of group 4294967295, want 0..1");
  EXPECT_EQ(tile(0, 2, 300), "tile 2, want 0..1");
  EXPECT_EQ(tile(0, -1, 0), "tile -1, want 0..1");
  EXPECT_EQ(tile(0, int64_t{1} << 32, 1), "tile 4294967296, want 0..1");
  EXPECT_EQ(tile(0, 1, 201), "end of a tile 201, want 129..200");
  EXPECT_EQ(tile(0, 1, 128), "end of a tile 128, want 129..200");
  EXPECT_EQ(refused(
                [&](auto& j) {
                  j.record(2, tokens_from(0, {1}));
                  j.tile(0, 0, 1, values + "x");
                },
                0, 1),
            fmt::format("tile of {} bytes, want {}", 33 + values.size(), 32 + values.size()));
}

TEST(ForgedJournal, TurnsAreChecked) {
  const auto nothing = [](auto&) {};
  EXPECT_EQ(refused(nothing), "no error");
  EXPECT_EQ(refused(nothing, 1), "turn 1 of 1 messages, 0 tokens: want 1, 0, 0");
  EXPECT_EQ(refused(nothing, 0, -5), "turn 1 of 0 messages, -5 tokens: want 1, 0, 0");
  EXPECT_EQ(refused([](auto& j) { j.commit(2, 0, 0); }),
            "turn 2 of 0 messages, 0 tokens: want 1, 0, 0");
  EXPECT_EQ(refused(nothing, 0, 0, {0}), "first tiles of 1 groups, want 2");
  EXPECT_EQ(refused(nothing, 0, 0, {0, 1}), "first tile 1, want 0..0");
  EXPECT_EQ(refused(nothing, 0, 0, {INT64_MIN, 0}),
            fmt::format("first tile {}, want 0..0", INT64_MIN));
  EXPECT_EQ(refused([](auto& j) { j.record(2, tokens_from(0, {1})); }, 0, 1, {0, 0}),
            "group 0 lacks tile 0 of 1");
  EXPECT_EQ(refused([](auto& j) { j.record(6, le(int64_t{1}) + le(int64_t{0})); }),
            "messages: 1, want 0..0");
  EXPECT_EQ(refused([](auto& j) { j.record(6, le(int64_t{0}) + le(int64_t{-1})); }),
            "tokens: -1, want 0..0");
  EXPECT_EQ(refused([](auto& j) { j.record(6, "12345678"); }), "record of 8 bytes, want 16");
}

TEST(ForgedJournal, OtherRecordsAreChecked) {
  EXPECT_EQ(refused([](auto& j) { j.record(9, ""); }), "record of type 9");
  EXPECT_EQ(refused([](auto& j) { j.record(4, le(uint64_t{7}) + le(UINT64_MAX)); }),
            "18446744073709551615 outputs of the sampler, want 0..536870912");
  EXPECT_TRUE(contains(refused([](auto& j) { j.record(1, "{"); }, 1), "JSON"));
  EXPECT_TRUE(contains(refused([](auto& j) { j.record(1, R"({"role":"king","content":""})"); }, 1),
                       "king"));
  EXPECT_TRUE(contains(refused([](auto& j) { j.record(1, "[]"); }, 1), "want"));
}

// The draws that a sampler is to have made are made again in no time worth mentioning.
TEST(ForgedJournal, TheMostDrawsTakeLittleTime) {
  EXPECT_LT(cpu_seconds([] { Sampler({.seed = 1, .used = JournalContents::kMostUsed}); }),
            kPatience);
}

}  // namespace
}  // namespace st::chats
