#include "base/chunk_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>
#include <set>

#include "support/bytes.h"

namespace st {
namespace {

bool is_zero(const std::byte* chunk, uint64_t bytes) {
  return std::all_of(chunk, chunk + bytes, [](std::byte b) { return b == std::byte{0}; });
}

TEST(ChunkMemory, GivesEachChunkOnceAndCleanAgain) {
  for (const uint64_t page : {4096, 16384, 65536}) {
    for (const uint64_t bytes : {1000, 70'000, 3'000'000}) {
      ChunkMemory memory(bytes, 4, page);
      const uint64_t whole = (bytes + page - 1) / page * page;
      EXPECT_EQ(memory.chunk_bytes(), whole);
      std::set<std::byte*> chunks;
      for (int round = 0; round < 3; ++round) {
        while (chunks.size() < 4) {
          std::byte* const chunk = memory.take();
          EXPECT_TRUE(is_zero(chunk, whole));
          std::memset(chunk, 1 + round, whole);
          EXPECT_TRUE(chunks.insert(chunk).second);
          EXPECT_EQ(memory.bytes_in_use(), chunks.size() * whole);
        }
        EXPECT_EQ(testkit::error_of([&] { memory.take(); }), "all 4 chunks are in use");
        std::byte* const first = *chunks.begin();
        EXPECT_FALSE(memory.shared(first));
        memory.hold(first);
        EXPECT_TRUE(memory.shared(first));
        memory.let_go(first);
        EXPECT_EQ(memory.bytes_in_use(), 4 * whole);
        memory.let_go(first);
        EXPECT_EQ(memory.bytes_in_use(), 3 * whole);
        chunks.erase(first);
        for (const std::byte* other : chunks) {  // nothing beside it went
          EXPECT_TRUE(other[0] != std::byte{0} && other[whole - 1] != std::byte{0});
        }
      }
    }
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
int64_t memory_of_process() {
  std::ifstream file("/proc/self/statm");
  int64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<int64_t>(page_size());
}

// With huge pages, too: no chunk keeps a part of its neighbour.
TEST(ChunkMemory, TakesFromTheSystemWhatItSays) {
  constexpr int64_t kSlack = 1 << 20;
  for (const uint64_t bytes : {300'000, 1'900'000, 2'100'000, 3 << 20, 8'519'680}) {
    ChunkMemory memory(bytes, 24);
    std::vector<std::byte*> chunks(24, nullptr);
    std::mt19937 random(1);
    const int64_t before = memory_of_process();
    for (int i = 0; i < 100; ++i) {
      std::byte*& chunk = chunks[random() % 24];
      if (chunk == nullptr) {
        chunk = memory.take();
        std::memset(chunk, 1, bytes);
      } else {
        memory.let_go(std::exchange(chunk, nullptr));
      }
      ASSERT_NEAR(static_cast<double>(memory_of_process() - before),
                  static_cast<double>(memory.bytes_in_use()), double{kSlack})
          << bytes << ' ' << i;
    }
  }
}
#endif

}  // namespace
}  // namespace st
