#include "chat/journal_contents.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "chat/journal_records.h"
#include "tensor/kv_tile.h"

namespace st {
namespace {

// Positions of a tile that a sequence of so many has.
int64_t tile_end(int64_t tile, int64_t tokens) { return std::min((tile + 1) * kTileKeys, tokens); }

void check_range(std::string_view what, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return;
  fail(ErrorCode::kInvalidData, "{} {}, want {}..{}", what, value, least, most);
}

}  // namespace

const SavedTile* JournalContents::find_tile(size_t group, int64_t tile) const {
  const auto found = tiles_[group].find(tile);
  return found == tiles_[group].end() ? nullptr : &found->second;
}

void JournalContents::add_message(Message message, uint64_t bytes) {
  if (bytes > kMostMessage || bytes > kMostText - text_bytes_) {
    fail(ErrorCode::kInvalidData, "a message of {} bytes after {}, want at most {}, and {} of all",
         bytes, text_bytes_, kMostMessage, kMostText);
  }
  text_bytes_ += bytes;
  message_bytes_.push_back(bytes);
  chat_.messages.push_back(std::move(message));
}

void JournalContents::add_tokens(int64_t first, std::span<const Token> tokens) {
  const int64_t size = std::ssize(chat_.tokens);
  if (first != size) {
    fail(ErrorCode::kInvalidData, "tokens from position {}, want {}", first, size);
  }
  check_range("tokens:", size + std::ssize(tokens), 1, kMostTokens);
  for (const Token token : tokens) check_range("token", token, 0, vocab_ - 1);
  chat_.tokens.insert(chat_.tokens.end(), tokens.begin(), tokens.end());
}

void JournalContents::set_sampler(uint32_t seed, uint64_t used) {
  if (used > kMostUsed) {
    fail(ErrorCode::kInvalidData, "{} outputs of the sampler, want 0..{}", used, kMostUsed);
  }
  chat_.seed = seed;
  chat_.used = used;
}

void JournalContents::set_settings(std::string settings) { chat_.settings = std::move(settings); }

void JournalContents::set_tile(size_t group, int64_t tile, const SavedTile& saved) {
  const int64_t tokens = std::ssize(chat_.tokens);
  check_range("tile of group", static_cast<int64_t>(group), 0, std::ssize(groups_) - 1);
  check_range("tile", tile, 0, tile_count(tokens) - 1);
  check_range("end of a tile", saved.end, tile * kTileKeys + 1, tile_end(tile, tokens));
  tiles_[group][tile] = saved;
}

void JournalContents::drop_tiles(int64_t tokens) {
  for (auto& tiles : tiles_) {
    tiles.erase(tiles.lower_bound(tile_count(tokens)), tiles.end());
    if (tiles.empty()) continue;
    int64_t& end = tiles.rbegin()->second.end;
    end = std::min(end, tokens);
  }
}

void JournalContents::rewind(int64_t messages, int64_t tokens) {
  check_range("messages:", messages, 0, std::ssize(chat_.messages));
  check_range("tokens:", tokens, 0, std::ssize(chat_.tokens));
  chat_.messages.resize(static_cast<size_t>(messages));
  chat_.tokens.resize(static_cast<size_t>(tokens));
  while (std::ssize(message_bytes_) > messages) {
    text_bytes_ -= message_bytes_.back();
    message_bytes_.pop_back();
  }
  drop_tiles(tokens);
}

void JournalContents::commit(uint64_t turn, int64_t messages, int64_t tokens,
                             std::span<const int64_t> first) {
  const int64_t size = std::ssize(chat_.tokens);
  if (turn != turns_ + 1 || messages != std::ssize(chat_.messages) || tokens != size) {
    fail(ErrorCode::kInvalidData, "turn {} of {} messages, {} tokens: want {}, {}, {}", turn,
         messages, tokens, turns_ + 1, chat_.messages.size(), size);
  }
  if (!first.empty() && first.size() != groups_.size()) {
    fail(ErrorCode::kInvalidData, "first tiles of {} groups, want {}", first.size(),
         groups_.size());
  }
  turns_ = turn;
  first_.assign(first.begin(), first.end());
  for (size_t g = 0; g < tiles_.size(); ++g) {
    if (first.empty()) {
      tiles_[g].clear();
    } else {
      check_range("first tile", first[g], 0, tile_count(size));
      tiles_[g].erase(tiles_[g].begin(), tiles_[g].lower_bound(first[g]));
    }
  }
}

void JournalContents::forget_tokens() {
  chat_.tokens.clear();
  first_.clear();
  for (auto& tiles : tiles_) tiles.clear();
}

void JournalContents::check_tiles() const {
  const int64_t size = std::ssize(chat_.tokens);
  for (size_t g = 0; g < first_.size(); ++g) {
    for (int64_t i = first_[g]; i < tile_count(size); ++i) {
      const SavedTile* tile = find_tile(g, i);
      if (tile == nullptr || tile->end < tile_end(i, size)) {
        fail(ErrorCode::kInvalidData, "group {} lacks tile {} of {}", g, i, tile_count(size));
      }
    }
  }
}

uint64_t JournalContents::live_bytes() const {
  const auto payload = [](uint64_t bytes) { return bytes == 0 ? 0 : kRecordBytes + bytes; };
  uint64_t bytes = text_bytes_ + payload(chat_.settings.size());
  bytes += payload(kCommitBytes + first_.size() * sizeof(int64_t));
  if (chat_.seed) bytes += payload(kSamplerBytes);
  bytes += payload(chat_.tokens.size() * sizeof(Token));
  for (size_t g = 0; g < tiles_.size(); ++g) {
    bytes += tiles_[g].size() * (kRecordBytes + kTileBytes + groups_[g].bytes);
  }
  return bytes;
}

}  // namespace st
