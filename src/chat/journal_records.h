// The records of a journal as bytes: docs/format-session.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "chat/journal_contents.h"
#include "chat/journal_file.h"

namespace st {

enum class RecordType : uint32_t {
  kMessage = 1,
  kTokens = 2,
  kTile = 3,
  kSampler = 4,
  kSettings = 5,
  kRewind = 6,
  kCommit = 7,
  kHot = 8,
};

// Bytes of a record beside its payload, of a tile's payload beside keys and values, and of two
// other payloads.
inline constexpr uint64_t kRecordBytes = 24, kTileBytes = 32, kSamplerBytes = 16, kCommitBytes = 32;

// ---- Reading ----

// The header, and then what all records up to the last turn that is whole amount to.
struct ReadJournal {
  JournalHeader header;
  JournalContents contents;
  uint64_t begin = 0;  // of the first record
  uint64_t end = 0;    // of that turn
  uint64_t chain = 0;  // by then
  std::string hot;     // after it, or empty
  uint64_t whole = 0;  // the end of that
};
// Of a file that is not empty. Damage ends it at the turn before; throws Error(kInvalidData |
// kUnsupported) where there is none, and for what no writer writes. Keys and values are not read.
ReadJournal read_journal(const ByteSource& source);
JournalHeader read_journal_header(const ByteSource& source);

// Fills `out` with the keys and values of a tile. Throws Error(kInvalidData) if they are damaged.
void read_tile(const ByteSource& source, size_t group, int64_t tile, const SavedTile& saved,
               std::span<std::byte> out);

// ---- Writing ----

// Appends records, and does with `contents` what they say.
class JournalWriter {
 public:
  // At the end of a file, where so much came before.
  JournalWriter(JournalFile& file, JournalContents& contents, uint64_t chain)
      : file_(file), contents_(contents), chain_(chain) {}

  uint64_t chain() const { return chain_; }

  void header(const JournalHeader& header);  // of a file that is empty
  void message(const Message& message);
  void tokens(int64_t first, std::span<const Token> tokens);
  void sampler(uint32_t seed, uint64_t used);
  void settings(const std::string& settings);
  void tile(size_t group, int64_t tile, int64_t end, std::span<const std::byte> bytes);
  void rewind(int64_t messages, int64_t tokens);
  // What was written before is in the file for good before this is, and this when it returns.
  // `first`: by group the first tile; none: keys and values are not kept.
  void commit(std::span<const int64_t> first);
  // After a commit, at the end of the file: what the next turn overwrites. Does nothing with what
  // is empty, or longer than a reader takes.
  void hot(std::string_view hot_set);

 private:
  // Of a payload in two parts. Returns its checksum.
  uint64_t record(RecordType type, std::span<const std::byte> begin,
                  std::span<const std::byte> rest = {});

  JournalFile& file_;
  JournalContents& contents_;
  uint64_t chain_;
};

}  // namespace st
