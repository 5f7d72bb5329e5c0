// A chat that is saved turn after turn, the same each time for who begins it anew.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "chat/fixture.h"
#include "chat/journal.h"

namespace st::chats {

// Keys and values are kept, however short the chat.
inline constexpr JournalOptions kKept{.keep = KeepKv::kAlways};

class SavedChat {
 public:
  explicit SavedChat(Engine& engine) : engine_(engine), sequence_(engine.cache().create()) {}
  ~SavedChat() { engine_.cache().erase(sequence_); }
  SavedChat(const SavedChat&) = delete;
  SavedChat& operator=(const SavedChat&) = delete;

  // What it is after turn `turn` >= 1: some turns add to it, some take back much.
  ChatState at(int64_t turn) const {
    ChatState state;
    for (int64_t i = 0; i <= turn % 7; ++i) {
      state.messages.push_back({.role = i % 2 ? "assistant" : "user",
                                .content = words(static_cast<uint64_t>(turn / 7 * 10 + i), 9)});
    }
    const int64_t tokens = 5 + turn * 37 % 190;
    for (int64_t i = 0; i < tokens; ++i) {
      state.tokens.push_back(
          static_cast<Token>((i * 31 + turn / 5 * 7 + 1) % engine_.config().vocab));
    }
    state.seed = 7;
    state.used = static_cast<uint64_t>(2 * turn);
    state.settings = fmt::format("{{\"turn\":{}}}", turn);
    return state;
  }

  // Makes the sequence hold the tokens of a state.
  void hold(const ChatState& state) {
    const auto same = std::ranges::mismatch(held_, state.tokens).in1 - held_.begin();
    engine_.cache().truncate(sequence_, same);
    held_ = state.tokens;
    const auto rest = std::span<const Token>(held_).subspan(static_cast<size_t>(same));
    if (!rest.empty()) engine_.evaluate({sequence_, rest});
  }
  void save(Journal& journal, int64_t turn) {
    const ChatState state = at(turn);
    hold(state);
    journal.save(state, sequence_, {});
  }

  SequenceId sequence() const { return sequence_; }

 private:
  Engine& engine_;
  const SequenceId sequence_;
  std::vector<Token> held_;
};

// All tiles of a sequence, one after the other.
inline std::string tiles_of(Engine& engine, SequenceId id) {
  std::string all;
  const KvPool& cache = engine.cache();
  const auto groups = cache.tile_groups();
  for (size_t g = 0; g < groups.size(); ++g) {
    std::vector<std::byte> bytes(groups[g].bytes);
    for (int64_t i = cache.first_tile(id, g); i < tile_count(cache.length(id)); ++i) {
      cache.copy_tile(id, g, i, bytes);
      all.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
  }
  return all;
}

inline std::string read_all(const std::string& path) { return read_text_file(path); }

}  // namespace st::chats
