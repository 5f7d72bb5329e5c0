#include "format/zip.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "base/reader.h"

namespace st {
namespace {

constexpr uint32_t kCentralMagic = 0x02014b50;
constexpr uint32_t kEndMagic = 0x06054b50;
constexpr uint32_t kEnd64Magic = 0x06064b50;
constexpr uint32_t kLocatorMagic = 0x07064b50;
constexpr uint64_t kEndBytes = 22;
constexpr uint64_t kLocatorBytes = 20;
constexpr uint64_t kLocalBytes = 30;
constexpr uint64_t kCentralBytes = 46;

constexpr uint32_t kSeeZip64 = 0xffffffff;  // in a 32-bit field: the value is in the zip64 record
constexpr uint16_t kSizesFollowData = 1 << 3;
// Also allowed: the compression level (meaningless here) and "names are UTF-8".
constexpr uint16_t kKnownFlags = kSizesFollowData | 1 << 1 | 1 << 2 | 1 << 11;

// The part that an entry's two headers share.
struct Header {
  uint16_t flags = 0;
  uint16_t method = 0;
  uint64_t packed_bytes = 0;
  uint64_t bytes = 0;
  uint16_t name_bytes = 0;
  uint16_t extra_bytes = 0;
};

// What the directory says about an entry.
struct Listing {
  std::string name;
  Header header;
  uint64_t header_offset = 0;
};

struct Extent {
  uint64_t entries = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

void expect_magic(Reader& reader, uint32_t magic, std::string_view what) {
  const uint64_t at = reader.position();
  if (reader.get<uint32_t>(what) != magic) {
    fail(ErrorCode::kInvalidData, "zip: no {} at {}", what, at);
  }
}

// Replaces the fields that were too large for 32 bits by those of the zip64 record, one of the
// extra fields that begin here.
void read_extra(Reader& reader, uint64_t bytes, std::initializer_list<uint64_t*> fields) {
  if (bytes > reader.remaining()) fail(ErrorCode::kInvalidData, "extra fields past their end");
  const uint64_t end = reader.position() + bytes;
  std::vector<uint64_t*> wanted;
  std::ranges::copy_if(fields, std::back_inserter(wanted),
                       [](const uint64_t* field) { return *field == kSeeZip64; });
  while (!wanted.empty() && end - reader.position() >= 4) {
    const auto id = reader.get<uint16_t>("extra field");
    const auto size = reader.get<uint16_t>("extra field");
    if (size > end - reader.position()) fail(ErrorCode::kInvalidData, "extra field past its end");
    if (id == 1) {
      if (size < 8 * wanted.size()) fail(ErrorCode::kInvalidData, "zip64 record too short");
      for (uint64_t* field : wanted) *field = reader.get<uint64_t>("zip64 record");
      wanted.clear();
      break;
    }
    reader.skip(size, "extra field");
  }
  if (!wanted.empty()) fail(ErrorCode::kInvalidData, "zip64 record missing");
  reader.skip(end - reader.position(), "extra fields");
}

// The directory must reach up to the end record: then every reader finds the same one.
Extent find_directory(const ByteSource& source) {
  if (source.size() < kEndBytes) fail(ErrorCode::kInvalidData, "zip: truncated");
  uint64_t end = source.size() - kEndBytes;
  Reader reader(source, end, source.size());
  expect_magic(reader, kEndMagic, "end record");
  const auto disks = reader.get<uint32_t>("end record");
  const auto entries_here = reader.get<uint16_t>("end record");
  const auto entries = reader.get<uint16_t>("end record");
  const auto bytes = reader.get<uint32_t>("end record");
  const auto offset = reader.get<uint32_t>("end record");
  if (disks != 0 || entries_here != entries || reader.get<uint16_t>("end record") != 0) {
    fail(ErrorCode::kInvalidData, "zip: comments and several disks are not allowed");
  }
  Extent extent{entries, offset, bytes};

  const uint64_t locator_at = end - std::min(end, kLocatorBytes);
  Reader locator(source, locator_at, end);
  if (end >= kLocatorBytes && locator.get<uint32_t>("zip64 locator") == kLocatorMagic) {
    locator.skip(4, "zip64 locator");
    end = locator.get<uint64_t>("zip64 locator");
    Reader end64(source, std::min(end, locator_at), locator_at);
    expect_magic(end64, kEnd64Magic, "zip64 end record");
    const auto record_bytes = end64.get<uint64_t>("zip64 end record");
    if (record_bytes != end64.remaining()) {
      fail(ErrorCode::kInvalidData, "zip: zip64 end record does not reach the locator");
    }
    end64.skip(20, "zip64 end record");  // versions, disks, entries on this disk
    extent.entries = end64.get<uint64_t>("zip64 end record");
    extent.bytes = end64.get<uint64_t>("zip64 end record");
    extent.offset = end64.get<uint64_t>("zip64 end record");
    if ((entries != 0xffff && entries != extent.entries) ||
        (bytes != kSeeZip64 && bytes != extent.bytes) ||
        (offset != kSeeZip64 && offset != extent.offset)) {
      fail(ErrorCode::kInvalidData, "zip: the two end records disagree");
    }
  }
  if (extent.entries > kZipMaxEntries) {
    fail(ErrorCode::kInvalidData, "zip: {} entries > {}", extent.entries, kZipMaxEntries);
  }
  if (extent.offset > end || extent.bytes != end - extent.offset) {
    fail(ErrorCode::kInvalidData, "zip: directory of {} bytes at {} does not end at {}",
         extent.bytes, extent.offset, end);
  }
  return extent;
}

Header read_header(Reader& reader) {
  Header header;
  reader.skip(2, "entry");  // version needed
  header.flags = reader.get<uint16_t>("entry");
  header.method = reader.get<uint16_t>("entry");
  reader.skip(8, "entry");  // time, date, CRC
  header.packed_bytes = reader.get<uint32_t>("entry");
  header.bytes = reader.get<uint32_t>("entry");
  header.name_bytes = reader.get<uint16_t>("entry");
  header.extra_bytes = reader.get<uint16_t>("entry");
  return header;
}

bool is_plain_path(std::string_view path) {
  if (path.find_first_of(std::string_view("\\\0", 2)) != path.npos) return false;
  while (true) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == path.npos) return true;
    path.remove_prefix(slash + 1);
  }
}

Listing read_listing(Reader& reader) {
  expect_magic(reader, kCentralMagic, "directory entry");
  Listing entry;
  reader.skip(2, "directory entry");  // version made by
  entry.header = read_header(reader);
  const auto comment_bytes = reader.get<uint16_t>("directory entry");
  reader.skip(8, "directory entry");  // disk, attributes
  entry.header_offset = reader.get<uint32_t>("directory entry");
  if (entry.header.name_bytes > kZipMaxNameBytes) {
    fail(ErrorCode::kInvalidData, "zip: entry name of {} bytes > {}", entry.header.name_bytes,
         kZipMaxNameBytes);
  }
  entry.name.resize(entry.header.name_bytes);
  reader.read(entry.name.data(), entry.name.size(), "entry name");
  with_context(fmt::format("entry '{}'", printable(entry.name)), [&] {
    if (!is_plain_path(entry.name)) fail(ErrorCode::kInvalidData, "path is not plain and relative");
    read_extra(reader, entry.header.extra_bytes,
               {&entry.header.bytes, &entry.header.packed_bytes, &entry.header_offset});
    reader.skip(comment_bytes, "entry comment");
    if (entry.header.method != 0) {
      fail(ErrorCode::kUnsupported, "compressed entries not allowed");
    }
    if ((entry.header.flags & ~kKnownFlags) != 0) {
      fail(ErrorCode::kUnsupported, "flags {:#x}: encrypted or unknown", entry.header.flags);
    }
    if (entry.header.packed_bytes != entry.header.bytes) {
      fail(ErrorCode::kInvalidData, "stored in {} bytes, holds {}", entry.header.packed_bytes,
           entry.header.bytes);
    }
  });
  return entry;
}

// Finds the data of `entry`, whose header and data must end before `limit`.
ZipEntry locate(const ByteSource& source, const Listing& entry, uint64_t limit) {
  const Header& listed = entry.header;
  const uint64_t head = kLocalBytes + listed.name_bytes;
  if (entry.header_offset > limit || head > limit - entry.header_offset) {
    fail(ErrorCode::kInvalidData, "header at {} overlaps the data at {}", entry.header_offset,
         limit);
  }
  Reader reader(source, entry.header_offset, entry.header_offset + head);
  expect_magic(reader, kZipMagic, "entry header");
  Header local = read_header(reader);
  std::string name(listed.name_bytes, '\0');
  reader.read(name.data(), name.size(), "entry name");
  if (local.name_bytes != listed.name_bytes || name != entry.name) {
    fail(ErrorCode::kInvalidData, "the directory and the entry disagree about the name");
  }
  if (local.method != listed.method || local.flags != listed.flags) {
    fail(ErrorCode::kInvalidData, "the directory and the entry disagree about the method");
  }
  Reader extra(source, reader.position(), limit);
  read_extra(extra, local.extra_bytes, {&local.bytes, &local.packed_bytes});
  const bool sizes_follow = (local.flags & kSizesFollowData) != 0 && local.bytes == 0;
  if (local.bytes != local.packed_bytes || (!sizes_follow && local.bytes != listed.bytes)) {
    fail(ErrorCode::kInvalidData, "the directory and the entry disagree about the size");
  }
  if (listed.bytes > extra.remaining()) {
    fail(ErrorCode::kInvalidData, "{} bytes at {} overlap the data at {}", listed.bytes,
         extra.position(), limit);
  }
  return {extra.position(), listed.bytes};
}

}  // namespace

ZipDirectory read_zip_directory(const ByteSource& source) {
  const Extent extent = find_directory(source);
  Reader reader(source, extent.offset, extent.offset + extent.bytes);
  std::vector<Listing> listings;
  listings.reserve(std::min(extent.entries, extent.bytes / kCentralBytes));
  for (uint64_t i = 0; i < extent.entries; ++i) listings.push_back(read_listing(reader));
  if (reader.remaining() != 0) {
    fail(ErrorCode::kInvalidData, "zip: {} bytes after the last directory entry",
         reader.remaining());
  }
  // In file order, each entry has the room up to the next: overlaps cannot be expressed.
  std::ranges::sort(listings, {}, &Listing::header_offset);
  ZipDirectory directory;
  for (size_t i = 0; i < listings.size(); ++i) {
    const uint64_t limit = i + 1 < listings.size() ? listings[i + 1].header_offset : extent.offset;
    Listing& entry = listings[i];
    with_context(fmt::format("entry '{}'", printable(entry.name)), [&] {
      const ZipEntry place = locate(source, entry, limit);
      if (!directory.emplace(std::move(entry.name), place).second) {
        fail(ErrorCode::kInvalidData, "listed twice");
      }
    });
  }
  return directory;
}

}  // namespace st
