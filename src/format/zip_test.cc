#include "format/zip.h"

#include <gtest/gtest.h>

#include "support/bytes.h"

namespace st {
namespace {

using testkit::contains;
using testkit::le;
using testkit::patch;
using testkit::zip_of;
using testkit::ZipItem;

// Distances of fields from the end of a file without zip64 records.
constexpr size_t kCount = 12, kDirectoryBytes = 10, kDirectoryOffset = 6, kComment = 2;

ZipDirectory read(const std::string& bytes) {
  return read_zip_directory(*testkit::source_of(bytes));
}
std::string error(const std::string& bytes) {
  return testkit::error_of([&] { read(bytes); });
}
std::string error(const std::vector<ZipItem>& items) { return error(zip_of(items)); }

ZipItem sample() { return {"m/data/0", "0123456789"}; }

// The end records that torch always writes, for a zip with the usual one.
std::string with_zip64_end(const std::string& zip) {
  const std::string end = zip.substr(zip.size() - 22);
  uint32_t bytes = 0, offset = 0;
  std::memcpy(&bytes, &end[12], 4);
  std::memcpy(&offset, &end[16], 4);
  const uint64_t count = static_cast<unsigned char>(end[8]);
  return zip.substr(0, zip.size() - 22) + "PK\6\6" + le<uint64_t>(44) + le<uint32_t>(0x2d031e) +
         le<uint64_t>(0) + le(count) + le(count) + le<uint64_t>(bytes) + le<uint64_t>(offset) +
         "PK\6\7" + le<uint32_t>(0) + le(uint64_t{offset} + bytes) + le<uint32_t>(1) + end;
}

TEST(Zip, FindsStoredEntries) {
  const ZipDirectory entries = read(zip_of({sample(), {"m/version", "3\n"}}));
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries.at("m/data/0").offset, 38U);
  EXPECT_EQ(entries.at("m/data/0").size, 10U);
  EXPECT_EQ(entries.at("m/version").offset, 87U);
  EXPECT_EQ(entries.at("m/version").size, 2U);
}

TEST(Zip, EmptyArchive) { EXPECT_TRUE(read(zip_of({})).empty()); }

TEST(Zip, SizesAfterTheData) {
  ZipItem item = sample();
  item.local.flags = item.central.flags = 0x808;
  item.local.bytes = item.local.packed_bytes = 0;
  EXPECT_EQ(read(zip_of({item})).at("m/data/0").size, 10U);
}

TEST(Zip, Zip64EndRecord) {
  EXPECT_EQ(read(with_zip64_end(zip_of({sample()}))).at("m/data/0").size, 10U);
}

TEST(Zip, Zip64Sizes) {
  ZipItem item = sample();
  const std::string other = le<uint16_t>(0x4246) + le<uint16_t>(3) + "ZZZ";
  for (testkit::ZipHeader* header : {&item.local, &item.central}) {
    header->bytes = header->packed_bytes = 0xffffffff;
    header->extra =
        other + le<uint16_t>(1) + le<uint16_t>(16) + le<uint64_t>(10) + le<uint64_t>(10);
  }
  const ZipEntry entry = read(zip_of({item})).at("m/data/0");
  EXPECT_EQ(entry.size, 10U);
  EXPECT_EQ(entry.offset, 38U + 27U);
}

TEST(Zip, Zip64Offset) {
  ZipItem item = sample();
  item.offset = 0xffffffff;
  item.central.extra = le<uint16_t>(1) + le<uint16_t>(8) + le<uint64_t>(0);
  EXPECT_EQ(read(zip_of({item})).at("m/data/0").offset, 38U);
}

TEST(ZipHostile, EveryPrefix) {
  for (const std::string& zip : {zip_of({sample(), {"m/version", "3\n"}}),
                                 with_zip64_end(zip_of({sample(), {"m/version", "3\n"}}))}) {
    EXPECT_EQ(error(zip), "no error");
    for (size_t n = 0; n < zip.size(); ++n) {
      EXPECT_NE(error(zip.substr(0, n)), "no error") << n;
    }
  }
}

TEST(ZipHostile, Compressed) {
  ZipItem item = sample();
  item.local.method = item.central.method = 8;
  EXPECT_EQ(error({item}), "entry 'm/data/0': compressed entries not allowed");
}

TEST(ZipHostile, DeflateBomb) {
  ZipItem item = sample();
  item.local.method = item.central.method = 8;
  item.local.bytes = item.central.bytes = 0xfffffffe;
  EXPECT_EQ(error({item}), "entry 'm/data/0': compressed entries not allowed");
}

TEST(ZipHostile, CompressedOnlyInTheEntry) {
  ZipItem item = sample();
  item.local.method = 8;
  EXPECT_PRED2(contains, error({item}), "disagree about the method");
}

TEST(ZipHostile, Encrypted) {
  ZipItem item = sample();
  item.local.flags = item.central.flags = 1;
  EXPECT_PRED2(contains, error({item}), "flags 0x1: encrypted or unknown");
}

TEST(ZipHostile, EncryptedOnlyInTheEntry) {
  ZipItem item = sample();
  item.local.flags = 1;
  EXPECT_PRED2(contains, error({item}), "disagree about the method");
}

TEST(ZipHostile, NamesDisagree) {
  ZipItem item = sample();
  item.local.name = "m/data/1";
  EXPECT_EQ(error({item}), "entry 'm/data/0': the directory and the entry disagree about the name");
  item.local.name = "m/data/00";
  EXPECT_PRED2(contains, error({item}), "disagree about the name");
}

TEST(ZipHostile, SizesDisagree) {
  ZipItem item = sample();
  item.local.bytes = item.local.packed_bytes = 9;
  EXPECT_EQ(error({item}), "entry 'm/data/0': the directory and the entry disagree about the size");
  item.local.bytes = item.local.packed_bytes = 0;  // allowed only with the flag
  EXPECT_PRED2(contains, error({item}), "disagree about the size");
}

TEST(ZipHostile, StoredSizeIsNotTheSize) {
  ZipItem item = sample();
  item.central.packed_bytes = 9;
  EXPECT_EQ(error({item}), "entry 'm/data/0': stored in 9 bytes, holds 10");
}

TEST(ZipHostile, SizePastTheEnd) {
  ZipItem item = sample();
  item.local.bytes = item.local.packed_bytes = item.central.bytes = item.central.packed_bytes = 11;
  EXPECT_EQ(error({item}), "entry 'm/data/0': 11 bytes at 38 overlap the data at 48");
}

TEST(ZipHostile, Zip64SizeWraps) {
  ZipItem item = sample();
  for (testkit::ZipHeader* header : {&item.local, &item.central}) {
    header->bytes = header->packed_bytes = 0xffffffff;
    header->extra =
        le<uint16_t>(1) + le<uint16_t>(16) + le(~uint64_t{0} - 40) + le(~uint64_t{0} - 40);
  }
  EXPECT_PRED2(contains, error({item}), "overlap the data");
}

TEST(ZipHostile, Zip64RecordMissingOrShort) {
  ZipItem item = sample();
  item.central.bytes = 0xffffffff;
  EXPECT_EQ(error({item}), "entry 'm/data/0': zip64 record missing");
  item.central.extra = le<uint16_t>(1) + le<uint16_t>(4) + "1234";
  EXPECT_EQ(error({item}), "entry 'm/data/0': zip64 record too short");
  item.central.extra = le<uint16_t>(1) + le<uint16_t>(100) + "1234";
  EXPECT_EQ(error({item}), "entry 'm/data/0': extra field past its end");
}

TEST(ZipHostile, TwoNamesForOneEntry) {
  ZipItem twin = sample();
  twin.offset = 0;
  EXPECT_PRED2(contains, error({sample(), twin}), "overlaps the data at 0");
}

TEST(ZipHostile, EntryInsideAnother) {
  const ZipItem inner = {"m/x", "abc"};
  ZipItem outer = {"m/data/0", zip_of({inner}).substr(0, 36)};
  ZipItem hidden = inner;
  hidden.offset = 38;
  EXPECT_PRED2(contains, error({outer, hidden}), "'m/data/0': 36 bytes at 38 overlap");
}

TEST(ZipHostile, HeaderPastTheEnd) {
  ZipItem item = sample();
  item.offset = 0x7fffffff;
  EXPECT_PRED2(contains, error({item}), "header at 2147483647 overlaps");
}

TEST(ZipHostile, NoHeaderWhereListed) {
  ZipItem item = sample();
  item.offset = 1;
  EXPECT_EQ(error({item}), "entry 'm/data/0': zip: no entry header at 1");
}

TEST(ZipHostile, NamesThatLeaveTheArchive) {
  for (const std::string name : {"../x", "/x", "a/../x", "a/..", ".", "a//b", "a/", "", "a\\b"}) {
    EXPECT_PRED2(contains, error({ZipItem(name, "x")}), "path is not plain and relative") << name;
  }
  EXPECT_EQ(error({ZipItem(std::string("a\0b", 3), "x")}),
            "entry 'a\\x00b': path is not plain and relative");
}

TEST(ZipHostile, LongName) {
  EXPECT_EQ(error({ZipItem(std::string(256, 'a'), "x")}), "zip: entry name of 256 bytes > 255");
}

TEST(ZipHostile, SameNameTwice) {
  EXPECT_EQ(error({sample(), sample()}), "entry 'm/data/0': listed twice");
}

TEST(ZipHostile, CountIsWrong) {
  std::string zip = zip_of({sample(), {"m/version", "3\n"}});
  for (const size_t at : {kCount, kCount + 2}) patch<uint16_t>(zip, zip.size() - at, 1);
  EXPECT_PRED2(contains, error(zip), "55 bytes after the last directory entry");
  for (const size_t at : {kCount, kCount + 2}) patch<uint16_t>(zip, zip.size() - at, 3);
  EXPECT_PRED2(contains, error(zip), "truncated");
}

TEST(ZipHostile, DirectoryDoesNotReachTheEnd) {
  std::string zip = zip_of({sample()});
  patch<uint32_t>(zip, zip.size() - kDirectoryOffset, 0);
  EXPECT_EQ(error(zip), "zip: directory of 54 bytes at 0 does not end at 102");
  zip = zip_of({sample()});
  patch<uint32_t>(zip, zip.size() - kDirectoryBytes, 0xfffffff0);
  EXPECT_PRED2(contains, error(zip), "does not end at 102");
}

TEST(ZipHostile, Comment) {
  std::string zip = zip_of({sample()});
  patch<uint16_t>(zip, zip.size() - kComment, 1);
  EXPECT_PRED2(contains, error(zip), "comments");
  EXPECT_EQ(error(zip + "x"), "zip: no end record at 103");
}

TEST(ZipHostile, SomethingInFront) {
  EXPECT_PRED2(contains, error("junk" + zip_of({sample()})), "does not end at");
}

TEST(ZipHostile, EndRecordsDisagree) {
  std::string zip = with_zip64_end(zip_of({sample()}));
  patch<uint32_t>(zip, zip.size() - kDirectoryOffset, 1);
  EXPECT_EQ(error(zip), "zip: the two end records disagree");
}

TEST(ZipHostile, Zip64EndRecordElsewhere) {
  const std::string good = with_zip64_end(zip_of({sample()}));
  for (const uint64_t at :
       {uint64_t{0}, uint64_t{47}, uint64_t{104}, uint64_t{158}, ~uint64_t{0}}) {
    std::string zip = good;
    patch(zip, zip.size() - 22 - 12, at);
    EXPECT_NE(error(zip), "no error") << at;
  }
}

TEST(ZipHostile, Zip64EndRecordOfAnotherSize) {
  std::string zip = with_zip64_end(zip_of({sample()}));
  patch(zip, zip.size() - 22 - 20 - 52, uint64_t{45});
  EXPECT_EQ(error(zip), "zip: zip64 end record does not reach the locator");
}

TEST(ZipHostile, Zip64CountIsHuge) {
  std::string zip = with_zip64_end(zip_of({sample()}));
  patch<uint32_t>(zip, zip.size() - kCount - 2, 0xffffffff);
  patch(zip, zip.size() - 22 - 20 - 24, uint64_t{1} << 60);
  EXPECT_EQ(error(zip), "zip: 1152921504606846976 entries > 65536");
}

// Many entries, each with a header that claims to be full of extra fields.
TEST(ZipHostile, ManyEntriesAreReadInLinearTime) {
  std::vector<ZipItem> items;
  for (int i = 0; i < 65'535; ++i) {
    ZipItem item(fmt::format("m/{}", i), "");
    item.local.bytes = item.local.packed_bytes = 0xffffffff;
    item.local.extra = std::string(400, '\2');
    items.push_back(std::move(item));
  }
  const std::string zip = zip_of(items);
  std::string message;
  EXPECT_LT(testkit::cpu_seconds([&] { message = error(zip); }), testkit::kPatience);
  EXPECT_PRED2(contains, message, "extra field past its end");
}

}  // namespace
}  // namespace st
