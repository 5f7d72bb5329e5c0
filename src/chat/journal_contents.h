// What the records of a journal amount to, as they are read or written one after the other.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "chat/chat_state.h"
#include "chat/journal_header.h"

namespace st {

// Where in the file a tile of a group is.
struct SavedTile {
  uint64_t offset = 0;    // of its keys and values
  int64_t end = 0;        // positions up to here are in it, whatever was saved after it
  int64_t written = 0;    // the same when it was written
  uint64_t checksum = 0;  // of its record
};

// All throw Error(kInvalidData) for what cannot follow what there is.
class JournalContents {
 public:
  // Bytes of text, and tokens, beyond which no file is read.
  static constexpr uint64_t kMostText = uint64_t{1} << 28, kMostMessage = uint64_t{1} << 24;
  static constexpr int64_t kMostTokens = int64_t{1} << 24;
  static constexpr uint64_t kMostUsed = uint64_t{1} << 29;  // outputs of a generator

  explicit JournalContents(const JournalHeader& header)
      : groups_(header.groups), vocab_(header.vocab), tiles_(groups_.size()) {}

  const ChatState& chat() const { return chat_; }
  uint64_t turns() const { return turns_; }  // that were committed
  // Whether there are keys and values of all tokens, and the first tile of each group.
  bool has_tiles() const { return !first_.empty(); }
  std::span<const int64_t> first() const { return first_; }
  const SavedTile* find_tile(size_t group, int64_t tile) const;
  const std::vector<KvPool::TileGroup>& groups() const { return groups_; }

  // `bytes`: of its record.
  void add_message(Message message, uint64_t bytes);
  void add_tokens(int64_t first, std::span<const Token> tokens);
  void set_sampler(uint32_t seed, uint64_t used);
  void set_settings(std::string settings);
  void set_tile(size_t group, int64_t tile, const SavedTile& saved);
  void rewind(int64_t messages, int64_t tokens);
  // `first`: as above, or empty.
  void commit(uint64_t turn, int64_t messages, int64_t tokens, std::span<const int64_t> first);
  // Tokens, keys and values are of no use.
  void forget_tokens();
  // After the last commit: whether all tiles are there that it promised.
  void check_tiles() const;

  // Of a file that has this and nothing else, but for its header.
  uint64_t live_bytes() const;

 private:
  void drop_tiles(int64_t tokens);

  std::vector<KvPool::TileGroup> groups_;
  int64_t vocab_;
  ChatState chat_;
  std::vector<uint64_t> message_bytes_;
  uint64_t text_bytes_ = 0;                          // of all messages
  std::vector<std::map<int64_t, SavedTile>> tiles_;  // by group
  std::vector<int64_t> first_;
  uint64_t turns_ = 0;
};

}  // namespace st
