#include "chat/journal_records.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/checksum.h"
#include "base/error.h"
#include "base/json.h"
#include "base/reader.h"

namespace st {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they are");

constexpr char kMagic[8] = {'S', 'T', '-', 'C', 'H', 'A', 'T', 0};
constexpr uint32_t kVersion = 1;
constexpr uint32_t kMostHeader = 1 << 16;  // bytes
constexpr uint64_t kMostSettings = uint64_t{1} << 20;
constexpr uint64_t kMostHot = uint64_t{1} << 20;
constexpr uint64_t kMostGroups = 64;

struct Head {
  uint32_t type = 0, zero = 0;
  uint64_t bytes = 0;  // of the payload
};

// What the payload of a tile begins with.
struct TilePlace {
  uint32_t group = 0, zero = 0;
  int64_t tile = 0;
  int64_t end = 0;
  uint64_t checksum = 0;  // of the head and of the above
};
static_assert(sizeof(TilePlace) == kTileBytes);

struct Sampler {
  uint32_t seed = 0, zero = 0;
  uint64_t used = 0;
};

struct Rewind {
  int64_t messages = 0, tokens = 0;
};

struct Commit {
  uint64_t turn = 0;
  int64_t messages = 0, tokens = 0;
  uint64_t chain = 0;  // of all records before
};
static_assert(sizeof(Sampler) == kSamplerBytes && sizeof(Commit) == kCommitBytes);

uint64_t checksum_of_place(const Head& head, const TilePlace& place) {
  Checksum sum;
  sum.add(bytes_of(head));
  sum.add(bytes_of(place).first(offsetof(TilePlace, checksum)));
  return sum.value();
}

uint64_t next_chain(uint64_t chain, uint64_t record) {
  const std::array both = {chain, record};
  return checksum(std::as_bytes(std::span(both)));
}

// ---- Reading ----

// Bytes of payload that a record of this type may have; 0: there are none of this type.
uint64_t most_bytes(uint32_t type) {
  switch (static_cast<RecordType>(type)) {
    case RecordType::kMessage:
      return JournalContents::kMostMessage;
    case RecordType::kTokens:
      return sizeof(int64_t) + JournalContents::kMostTokens * sizeof(Token);
    case RecordType::kTile:
      return UINT64_MAX;
    case RecordType::kSampler:
      return sizeof(Sampler);
    case RecordType::kSettings:
      return kMostSettings;
    case RecordType::kRewind:
      return sizeof(Rewind);
    case RecordType::kCommit:
      return sizeof(Commit) + kMostGroups * sizeof(int64_t);
    case RecordType::kHot:
      return kMostHot;
  }
  return kMostSettings;  // of a later version's: read to tell it from damage
}

struct Record {
  Head head;
  std::vector<std::byte> payload;  // of a tile: its place
  uint64_t offset = 0;             // of what follows that, which was not read
  uint64_t checksum = 0;

  template <typename T>
  T get(size_t at = 0) const {
    T value;
    if (payload.size() < at + sizeof(T)) {
      fail(ErrorCode::kInvalidData, "record of {} bytes, want {}", payload.size(), at + sizeof(T));
    }
    std::memcpy(&value, payload.data() + at, sizeof(T));
    return value;
  }
  // Numbers from a place on to the end.
  template <typename T>
  std::vector<T> rest(size_t at) const {
    if (payload.size() < at || (payload.size() - at) % sizeof(T) != 0) {
      fail(ErrorCode::kInvalidData, "record of {} bytes, want {} and a multiple of {}",
           payload.size(), at, sizeof(T));
    }
    std::vector<T> values((payload.size() - at) / sizeof(T));
    std::ranges::copy(std::span(payload).subspan(at),
                      std::as_writable_bytes(std::span(values)).begin());
    return values;
  }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(payload.data()), payload.size()};
  }
};

// Empty where the file ends, or is damaged.
std::optional<Record> next_record(Reader& in) {
  Record record;
  if (in.remaining() < kRecordBytes) return std::nullopt;
  const Head head = record.head = in.get<Head>("record");
  const bool is_tile = head.type == static_cast<uint32_t>(RecordType::kTile);
  if (head.bytes > in.remaining() - sizeof(uint64_t) || head.bytes > most_bytes(head.type) ||
      (is_tile && head.bytes < kTileBytes)) {
    return std::nullopt;
  }
  record.payload.resize(is_tile ? kTileBytes : head.bytes);
  in.read(record.payload.data(), record.payload.size(), "record");
  record.offset = in.position();
  in.skip(head.bytes - record.payload.size(), "record");
  record.checksum = in.get<uint64_t>("record");
  if (is_tile) {
    const auto place = record.get<TilePlace>();
    if (place.checksum != checksum_of_place(head, place)) return std::nullopt;
  } else {
    Checksum sum;
    sum.add(bytes_of(head));
    sum.add(record.payload);
    if (sum.value() != record.checksum) return std::nullopt;
  }
  return record;
}

void apply_tile(const Record& record, JournalContents& contents) {
  const auto place = record.get<TilePlace>();
  const auto& groups = contents.groups();
  if (place.group >= groups.size()) {
    fail(ErrorCode::kInvalidData, "tile of group {}, want 0..{}", place.group, groups.size() - 1);
  }
  if (record.head.bytes != kTileBytes + groups[place.group].bytes) {
    fail(ErrorCode::kInvalidData, "tile of {} bytes, want {}", record.head.bytes,
         kTileBytes + groups[place.group].bytes);
  }
  contents.set_tile(place.group, place.tile,
                    {record.offset, place.end, place.end, record.checksum});
}

void apply_message(const Record& record, JournalContents& contents) {
  const auto list = nlohmann::ordered_json::array({parse_ordered_json(record.text())});
  contents.add_message(parse_messages(list).at(0), kRecordBytes + record.payload.size());
}

void apply(const Record& record, JournalContents& contents) {
  switch (static_cast<RecordType>(record.head.type)) {
    case RecordType::kMessage:
      return apply_message(record, contents);
    case RecordType::kTokens:
      return contents.add_tokens(record.get<int64_t>(), record.rest<Token>(sizeof(int64_t)));
    case RecordType::kTile:
      return apply_tile(record, contents);
    case RecordType::kSampler: {
      const auto sampler = record.get<Sampler>();
      return contents.set_sampler(sampler.seed, sampler.used);
    }
    case RecordType::kSettings:
      return contents.set_settings(std::string(record.text()));
    case RecordType::kRewind: {
      const auto to = record.get<Rewind>();
      return contents.rewind(to.messages, to.tokens);
    }
    case RecordType::kCommit: {
      const auto commit = record.get<Commit>();
      return contents.commit(commit.turn, commit.messages, commit.tokens,
                             record.rest<int64_t>(sizeof(Commit)));
    }
    case RecordType::kHot:
      break;  // belongs to no turn
  }
  fail(ErrorCode::kUnsupported, "record of type {}", record.head.type);
}

// Where the last turn that is whole ends, and the chain by then.
std::pair<uint64_t, uint64_t> find_end(Reader in, uint64_t chain) {
  uint64_t end = 0, end_chain = 0;
  while (const auto record = next_record(in)) {
    const bool is_commit = record->head.type == static_cast<uint32_t>(RecordType::kCommit);
    if (is_commit && record->get<Commit>().chain != chain) break;
    chain = next_chain(chain, record->checksum);
    if (is_commit) {
      end = in.position();
      end_chain = chain;
    }
  }
  if (end == 0) fail(ErrorCode::kInvalidData, "no turn of it is whole");
  return {end, end_chain};
}

JournalHeader next_header(Reader& in, uint64_t& sum) {
  char magic[sizeof kMagic];
  in.read(magic, sizeof magic, "magic");
  if (std::memcmp(magic, kMagic, sizeof magic) != 0) {
    fail(ErrorCode::kInvalidData, "no conversation of this program");
  }
  const auto version = in.get<uint32_t>("version");
  if (version != kVersion) {
    fail(ErrorCode::kUnsupported, "version {} of a conversation, want {}", version, kVersion);
  }
  const auto bytes = in.get<uint32_t>("header");
  if (bytes > kMostHeader) {
    fail(ErrorCode::kInvalidData, "header of {} bytes, want at most {}", bytes, kMostHeader);
  }
  std::string text(bytes, '\0');
  in.read(text.data(), bytes, "header");
  Checksum all;
  all.add(std::as_bytes(std::span(kMagic)));
  all.add(bytes_of(version));
  all.add(bytes_of(bytes));
  all.add(std::as_bytes(std::span(text)));
  sum = all.value();
  if (in.get<uint64_t>("header") != sum) {
    fail(ErrorCode::kInvalidData, "header: checksum mismatch: the file is damaged");
  }
  return with_context("header", [&] { return parse_header(text); });
}

}  // namespace

JournalHeader read_journal_header(const ByteSource& source) {
  Reader in(source);
  uint64_t sum = 0;
  return next_header(in, sum);
}

ReadJournal read_journal(const ByteSource& source) {
  Reader in(source);
  uint64_t sum = 0;
  const JournalHeader header = next_header(in, sum);
  const auto [end, chain] = find_end(in, sum);
  ReadJournal journal{header, JournalContents(header), in.position(), end, chain, {}, end};
  while (in.position() < end) {
    const uint64_t at = in.position();
    const auto record = next_record(in);
    if (!record) fail(ErrorCode::kIo, "the file was changed while it was read, at byte {}", at);
    with_context(fmt::format("record at byte {}", at), [&] { apply(*record, journal.contents); });
  }
  journal.contents.check_tiles();
  const auto last = next_record(in);
  if (last && last->head.type == static_cast<uint32_t>(RecordType::kHot)) {
    journal.hot = last->text();
    journal.whole = in.position();
  }
  return journal;
}

void read_tile(const ByteSource& source, size_t group, int64_t tile, const SavedTile& saved,
               std::span<std::byte> out) {
  const Head head{.type = static_cast<uint32_t>(RecordType::kTile),
                  .bytes = kTileBytes + out.size()};
  TilePlace place{.group = static_cast<uint32_t>(group), .tile = tile, .end = saved.written};
  place.checksum = checksum_of_place(head, place);
  source.read_at(saved.offset, out);
  Checksum sum;
  sum.add(bytes_of(head));
  sum.add(bytes_of(place));
  sum.add(out);
  if (sum.value() != saved.checksum) {
    fail(ErrorCode::kInvalidData, "checksum mismatch in tile {} of group {}", tile, group);
  }
}

// ---- Writing ----

void JournalWriter::header(const JournalHeader& header) {
  const std::string text = format_header(header);
  Checksum sum;
  const auto put = [&](std::span<const std::byte> bytes) {
    sum.add(bytes);
    file_.append(bytes);
  };
  put(std::as_bytes(std::span(kMagic)));
  put(bytes_of(kVersion));
  put(bytes_of(static_cast<uint32_t>(text.size())));
  put(std::as_bytes(std::span(text)));
  chain_ = sum.value();
  file_.append(bytes_of(chain_));
}

uint64_t JournalWriter::record(RecordType type, std::span<const std::byte> begin,
                               std::span<const std::byte> rest) {
  const Head head{.type = static_cast<uint32_t>(type), .bytes = begin.size() + rest.size()};
  Checksum sum;
  for (const std::span<const std::byte> part : {std::span(bytes_of(head)), begin, rest}) {
    sum.add(part);
    file_.append(part);
  }
  file_.append(bytes_of(sum.value()));
  chain_ = next_chain(chain_, sum.value());
  return sum.value();
}

void JournalWriter::message(const Message& message) {
  using nlohmann::json;
  const std::string text =
      message_json(message).dump(-1, ' ', false, json::error_handler_t::replace);
  contents_.add_message(message, kRecordBytes + text.size());
  record(RecordType::kMessage, std::as_bytes(std::span(text)));
}

void JournalWriter::tokens(int64_t first, std::span<const Token> tokens) {
  contents_.add_tokens(first, tokens);
  record(RecordType::kTokens, bytes_of(first), std::as_bytes(tokens));
}

void JournalWriter::sampler(uint32_t seed, uint64_t used) {
  contents_.set_sampler(seed, used);
  record(RecordType::kSampler, bytes_of(Sampler{.seed = seed, .used = used}));
}

void JournalWriter::settings(const std::string& settings) {
  contents_.set_settings(settings);
  record(RecordType::kSettings, std::as_bytes(std::span(settings)));
}

void JournalWriter::tile(size_t group, int64_t tile, int64_t end,
                         std::span<const std::byte> bytes) {
  const Head head{.type = static_cast<uint32_t>(RecordType::kTile),
                  .bytes = kTileBytes + bytes.size()};
  TilePlace place{.group = static_cast<uint32_t>(group), .tile = tile, .end = end};
  place.checksum = checksum_of_place(head, place);
  const uint64_t offset = file_.size() + sizeof(Head) + kTileBytes;
  const uint64_t sum = record(RecordType::kTile, bytes_of(place), bytes);
  contents_.set_tile(group, tile, {offset, end, end, sum});
}

void JournalWriter::rewind(int64_t messages, int64_t tokens) {
  contents_.rewind(messages, tokens);
  record(RecordType::kRewind, bytes_of(Rewind{messages, tokens}));
}

void JournalWriter::commit(std::span<const int64_t> first) {
  const ChatState& chat = contents_.chat();
  const Commit commit{contents_.turns() + 1, std::ssize(chat.messages), std::ssize(chat.tokens),
                      chain_};
  contents_.commit(commit.turn, commit.messages, commit.tokens, first);
  file_.sync();
  record(RecordType::kCommit, bytes_of(commit), std::as_bytes(first));
  file_.sync();
}

void JournalWriter::hot(std::string_view hot_set) {
  if (hot_set.empty() || hot_set.size() > kMostHot) return;
  record(RecordType::kHot, std::as_bytes(std::span(hot_set)));
}

}  // namespace st
