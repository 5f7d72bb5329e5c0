// Bytes as the file of a conversation, or, as few would be one by chance, as a header and records
// that are given the right checksums: what is accepted is possible.
//   u8: 0 the rest is a file; else: u16 n, n bytes of header, records
//   a record: u8 type, u16 n, n bytes of payload; of a tile group, number and end come first
#include <cstring>

#include "chat/journal_records.h"
#include "chat/sealed_journal.h"
#include "fuzz.h"

using namespace st;

namespace {

class Input {
 public:
  explicit Input(std::string_view rest) : rest_(rest) {}
  bool empty() const { return rest_.empty(); }

  template <typename T>
  T get() {
    T value = 0;
    const std::string_view bytes = take(sizeof(T));
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  std::string_view take(size_t count) {
    const std::string_view bytes = rest_.substr(0, count);
    rest_.remove_prefix(bytes.size());
    return bytes;
  }

 private:
  std::string_view rest_;
};

std::string sealed(Input in) {
  testkit::SealedJournal journal(in.take(in.get<uint16_t>()));
  while (!in.empty()) {
    const auto type = in.get<uint8_t>();
    Input payload(in.take(in.get<uint16_t>()));
    if (type == static_cast<uint8_t>(RecordType::kTile)) {
      const auto group = payload.get<uint32_t>();
      const auto number = payload.get<int64_t>();
      const auto end = payload.get<int64_t>();
      journal.tile(group, number, end, payload.take(SIZE_MAX));
    } else if (type == static_cast<uint8_t>(RecordType::kCommit)) {
      const auto turn = payload.get<uint64_t>();
      const auto messages = payload.get<int64_t>(), tokens = payload.get<int64_t>();
      std::vector<int64_t> first;
      while (!payload.empty()) first.push_back(payload.get<int64_t>());
      journal.commit(turn, messages, tokens, first);
    } else {
      journal.record(type, payload.take(SIZE_MAX));
    }
  }
  return journal.bytes;
}

void read(const ByteSource& source) {
  const ReadJournal journal = read_journal(source);
  fuzz::require(parse_header(format_header(journal.header)) == journal.header);
  fuzz::require(journal.begin <= journal.end && journal.end <= journal.whole);
  fuzz::require(journal.whole <= source.size());
  const JournalContents& contents = journal.contents;
  for (const Token token : contents.chat().tokens) {
    fuzz::require(token >= 0 && token < journal.header.vocab);
  }
  const int64_t tiles = tile_count(std::ssize(contents.chat().tokens));
  for (size_t g = 0; g < contents.first().size(); ++g) {
    std::vector<std::byte> values;
    for (int64_t i = contents.first()[g]; i < tiles; ++i) {
      const SavedTile* tile = contents.find_tile(g, i);
      fuzz::require(tile != nullptr);
      fuzz::require_range(source, tile->offset, contents.groups()[g].bytes);
      values.resize(contents.groups()[g].bytes);
      fuzz::allow_errors([&] { read_tile(source, g, i, *tile, values); });
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::allow_errors([&] {
    Input in(fuzz::text_of(data, size));
    const bool is_file = in.get<uint8_t>() == 0;
    const std::string bytes = is_file ? std::string(in.take(SIZE_MAX)) : sealed(in);
    read(*fuzz::source_of(bytes));
  });
  return 0;
}
