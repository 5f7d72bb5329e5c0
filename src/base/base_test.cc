#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#define XXH_INLINE_ALL
#define XXH_VECTOR 0  // the scalar code
#include <xxhash.h>

#include "base/checksum.h"
#include "base/cpu.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/reader.h"
#include "base/units.h"
#include "support/temporary_folder.h"

namespace st {
namespace {

// The message of the Error that `body` throws; empty if it throws none.
template <typename Body>
std::string message_of(Body body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return {};
}

TEST(Printable, EscapesWhatTerminalsObey) {
  EXPECT_EQ(printable("plain text"), "plain text");
  EXPECT_EQ(printable("\x1b]52;c\a\n"), "\\x1b]52;c\\x07\\x0a");
  EXPECT_EQ(printable("caf\xc3\xa9 \xe2\x82\xac"), "caf\xc3\xa9 \xe2\x82\xac");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");           // C1 control
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");           // not UTF-8
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // surrogate
  EXPECT_EQ(printable(std::string(200, 'x')).size(), 131u);
}

TEST(ErrorText, GrowsFromTheInside) {
  const std::string text = message_of([] {
    with_context("m.gguf", [] {
      with_context("tensor 'x'", [] { fail(ErrorCode::kInvalidData, "shape {}", 3); });
    });
  });
  EXPECT_EQ(text, "m.gguf: tensor 'x': shape 3");
}

TEST(FileReading, ReadsAndRefusesWhatIsNoRegularFile) {
  const TemporaryFolder folder;
  std::ofstream(folder / "a") << "hello";
  const File file(folder / "a");
  char text[5];
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  EXPECT_EQ(std::string(text, 5), "hello");
  EXPECT_EQ(message_of([&] { file.read_at(1, std::as_writable_bytes(std::span(text))); }),
            "truncated: need bytes 1..6, file has 5");
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(message_of([&] { File(folder / "fifo"); }), "not a regular file");  // and does not hang
  EXPECT_EQ(message_of([&] { File("/dev/zero"); }), "not a regular file");
  EXPECT_EQ(message_of([&] { File(folder / "."); }), "not a regular file");
  EXPECT_EQ(message_of([&] { File(folder / "none"); }), "cannot open: No such file or directory");
}

TEST(FileReading, NoticesAFileThatShrinks) {
  const TemporaryFolder folder;
  std::ofstream(folder / "a") << "hello";
  const File file(folder / "a");
  ASSERT_EQ(::truncate((folder / "a").c_str(), 2), 0);
  char text[5];
  EXPECT_EQ(message_of([&] { file.read_at(0, std::as_writable_bytes(std::span(text))); }),
            "file was truncated while in use, at byte 2");
}

TEST(FileReading, NoticesEveryChange) {
  const TemporaryFolder folder;
  const std::string path = folder / "a";
  const auto write = [&](const char* text) { std::ofstream(path) << text; };
  const std::string changed = path + ": the file was changed while in use";
  {
    write("hello");
    const File file(path);
    file.check_in_place();
    write("HELLO");  // at once, and of the same length
    EXPECT_EQ(file.change(), FileChange::kModified);
    EXPECT_EQ(message_of([&] { file.check_unchanged(); }), changed);
  }
  {
    const File file(path);
    struct stat before{};
    ::stat(path.c_str(), &before);
    write("hello");
    const timespec times[] = {before.st_atim, before.st_mtim};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
    EXPECT_EQ(message_of([&] { file.check_unchanged(); }), changed);
  }
  {
    const File file(path);
    std::ofstream(folder / "b") << "hello";
    ASSERT_EQ(::rename((folder / "b").c_str(), path.c_str()), 0);
    EXPECT_EQ(file.change(), FileChange::kReplaced);
    file.check_unchanged();
    EXPECT_EQ(message_of([&] { file.check_in_place(); }),
              path + ": the file was replaced while it was loaded");
  }
}

TEST(AtomicFileWriting, AppearsOnlyWhenCommitted) {
  const TemporaryFolder folder;
  std::ofstream(folder / "out") << "old";
  {
    AtomicFile file(folder / "out");
    file.write(std::as_bytes(std::span("new", 3)));
  }
  EXPECT_EQ(read_text_file(folder / "out"), "old");
  EXPECT_EQ(folder.entries(), 1u);  // the temporary is gone
  AtomicFile file(folder / "out");
  const std::string large(3 << 20, 'x');
  file.write(std::as_bytes(std::span("ab", 2)));
  file.write(std::as_bytes(std::span(large)));
  file.write_zeros(5000);
  file.write_at(0, std::as_bytes(std::span("AB", 2)));
  EXPECT_EQ(file.position(), 2 + large.size() + 5000);
  file.commit();
  EXPECT_EQ(read_text_file(folder / "out"), "AB" + large + std::string(5000, '\0'));
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(AtomicFileWriting, SaysWhyItCannot) {
  EXPECT_EQ(message_of([] { AtomicFile("/nonexistent/x"); }),
            "/nonexistent/x: cannot create: No such file or directory");
  EXPECT_EQ(message_of([] { AtomicFile("/dev/full"); }),
            "/dev/full: cannot create: exists and is not a regular file");
}

TEST(BoundedReader, NeverLeavesItsRange) {
  std::vector<std::byte> bytes(200'000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7);
  const MemorySource source(bytes);
  Reader reader(source, 10, 150'010);
  std::vector<std::byte> piece(149'000);
  for (size_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(reader.get<uint8_t>("byte"), static_cast<uint8_t>((i + 10) * 7));
  }
  reader.read(piece.data(), 100'000, "piece");
  EXPECT_EQ(piece[99'999], bytes[101'009]);
  reader.skip(48'999, "gap");
  EXPECT_EQ(reader.get<uint8_t>("last"), static_cast<uint8_t>(bytes[150'009]));
  EXPECT_EQ(message_of([&] { reader.get<uint32_t>("more"); }),
            "truncated: need 4 bytes for more at 150010, 0 left");
  EXPECT_EQ(message_of([&] { checked_mul(uint64_t{1} << 32, uint64_t{1} << 32, "size"); }),
            "size 4294967296 x 4294967296 overflows");
}

TEST(Units, SizesAsPeopleWriteThem) {
  constexpr uint64_t kMiB = 1 << 20;
  EXPECT_EQ(parse_bytes("0"), 0u);
  EXPECT_EQ(parse_bytes("4096"), 4096u);
  EXPECT_EQ(parse_bytes("7B"), 7u);
  for (const char* text : {"512MiB", "512M", "512mb", "512 MiB", "0.5GiB", "0.5g"}) {
    EXPECT_EQ(parse_bytes(text), 512 * kMiB) << text;
  }
  for (const char* text : {".5g", "0.50000000000000000000000000000000000000GiB", "000.5Gi",
                           "524288Ki", "512.mi", "512.000M"}) {
    EXPECT_EQ(parse_bytes(text), 512 * kMiB) << text;
  }
  EXPECT_EQ(parse_bytes("1.5G"), 1536 * kMiB);
  EXPECT_EQ(parse_bytes("1."), 1u);
  EXPECT_EQ(parse_bytes(".9"), 0u);
  EXPECT_EQ(parse_bytes("0.1GiB"), 107'374'182u);  // and 0.4
  EXPECT_EQ(parse_bytes("0.99999999999999999999999999999G"), 1024 * kMiB - 1);
  EXPECT_EQ(parse_bytes("9007199254740993"), 9'007'199'254'740'993u);  // no double is that
  EXPECT_EQ(parse_bytes("9223372036854775808"), uint64_t{1} << 63);
  EXPECT_EQ(parse_bytes("8388608T"), uint64_t{1} << 63);
  EXPECT_EQ(parse_bytes("8388607.9999999999999999999T"), (uint64_t{1} << 63) - 1);
  EXPECT_EQ(parse_bytes("8G"), 8192 * kMiB);
  EXPECT_EQ(parse_bytes("2TiB"), (uint64_t{2} << 40));
  for (const char* text : {"",
                           "G",
                           "-1",
                           "1X",
                           "1GG",
                           "1GiBs",
                           "1 2",
                           "nan",
                           "inf",
                           "1e99",
                           "0x10",
                           "9000000000G",
                           "1..5",
                           "8 iB",
                           "1e3",
                           "1e3K",
                           ".",
                           ".G",
                           "+1",
                           "-0",
                           "-0.0",
                           "1,5G",
                           "1i",
                           "1ib",
                           "9223372036854775809",
                           "8388608.1T",
                           "18446744073709551616",
                           "99999999999999999999999999",
                           "infinity"}) {
    EXPECT_EQ(parse_bytes(text), std::nullopt) << text;
  }
}

TEST(Checksum, PiecesMakeTheWhole) {
  std::vector<std::byte> bytes(100'000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * i >> 5);
  EXPECT_EQ(Checksum().value(), checksum({}));
  for (const size_t step : {size_t{1}, size_t{7}, size_t{240}, size_t{4096}, bytes.size()}) {
    Checksum sum;
    for (size_t at = 0; at < bytes.size(); at += step) {
      sum.add(std::span(bytes).subspan(at, std::min(step, bytes.size() - at)));
    }
    EXPECT_EQ(sum.value(), checksum(bytes)) << step;
  }
}

// The values are in files: they must never change, and be the same on every CPU.
TEST(Checksum, IsXxh3) {
  EXPECT_EQ(checksum({}), 0x2D06800538D394C2u);
  std::vector<std::byte> bytes(70'001);
  uint32_t x = 1;
  for (std::byte& b : bytes) b = static_cast<std::byte>((x = x * 1664525 + 1013904223) >> 24);
  for (const size_t n : {1, 3, 8, 16, 17, 128, 129, 240, 241, 1024, 4096, 65'536, 70'001}) {
    EXPECT_EQ(checksum(std::span(bytes).first(n)), XXH3_64bits(bytes.data(), n)) << n;
  }
  const uint64_t right = checksum(bytes);
  for (size_t bit = 0; bit < bytes.size() * 8; bit += 997) {
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_NE(checksum(bytes), right);
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
  }
}

TEST(Memory, IsZeroUntilTouched) {
  MemoryRegion region(uint64_t{1} << 34);  // more than this machine need have
  EXPECT_EQ(region.data()[(uint64_t{1} << 34) - 1], std::byte{0});
  MemoryRegion moved = std::move(region);
  moved.data()[0] = std::byte{1};
  EXPECT_EQ(moved.size(), uint64_t{1} << 34);
}

TEST(Memory, LargeRegionsBeginWithAHugePage) {
  constexpr uint64_t kHuge = uint64_t{2} << 20;
  std::vector<MemoryRegion> regions;
  for (uint64_t bytes = kHuge; bytes < 4 * kHuge; bytes += 123457) {
    MemoryRegion& region = regions.emplace_back(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(region.data()) % kHuge, 0u) << bytes;
    std::fill_n(region.data(), bytes, static_cast<std::byte>(regions.size()));
  }
  for (size_t i = 0; i < regions.size(); ++i) {
    const std::span all(regions[i].data(), regions[i].size());
    EXPECT_TRUE(std::ranges::all_of(all, [&](std::byte b) { return b == std::byte(i + 1); })) << i;
  }
}

constexpr uint64_t kPages[] = {4096, 16384, 65536};

// Of a part, whole pages go, and nothing beside it, whatever size pages have.
TEST(Memory, DiscardsNothingBesideAPart) {
  std::mt19937 random(3);
  for (const uint64_t page : kPages) {
    for (const uint64_t bytes : {uint64_t{200'000}, uint64_t{3'000'001}}) {
      MemoryRegion region(bytes, page);
      for (int i = 0; i < 50; ++i) {
        std::fill_n(region.data(), bytes, std::byte{1});
        const uint64_t begin = random() % bytes / 512 * 512,
                       end = begin + random() % (bytes - begin);
        region.discard(begin, end - begin);
        const auto zeros = [&](uint64_t from, uint64_t to) {
          return std::count(region.data() + from, region.data() + to, std::byte{0});
        };
        const uint64_t first = (begin + page - 1) / page * page, last = end / page * page;
        ASSERT_EQ(zeros(begin, end), first < last ? static_cast<ptrdiff_t>(last - first) : 0)
            << page << ": " << begin << ".." << end;
        ASSERT_EQ(zeros(0, bytes), zeros(begin, end)) << page << ": " << begin << ".." << end;
      }
    }
  }
}

uint64_t mapped_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t pages = 0;
  file >> pages;
  return pages * page_size();
}

TEST(Memory, TakesAndLeavesNoMoreAddressesThanItHas) {
  constexpr size_t kRegions = 40;
  for (const uint64_t page : kPages) {
    for (const uint64_t bytes : {uint64_t{300'000}, uint64_t{2} << 20, uint64_t{5'000'000}}) {
      std::vector<MemoryRegion> regions;
      regions.reserve(kRegions);
      const uint64_t before = mapped_bytes();
      for (size_t i = 0; i < kRegions; ++i) regions.emplace_back(bytes, page);
      const uint64_t each = (bytes + page - 1) / page * page;
      EXPECT_LE(mapped_bytes(), before + kRegions * each + each) << page << " " << bytes;
      regions.clear();
      EXPECT_LE(mapped_bytes(), before + each) << page << " " << bytes;
    }
  }
}

}  // namespace
}  // namespace st
