// Memory in chunks of one size, each counted by its holders. A chunk that nobody holds is given
// back to the system: what is in use is known to the byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/memory.h"

namespace st {

class ChunkMemory {
 public:
  // Addresses for so many chunks of `bytes`, rounded up to whole pages. Throws Error(kOutOfMemory).
  ChunkMemory(uint64_t bytes, int64_t chunks, uint64_t page = page_size());

  uint64_t chunk_bytes() const { return bytes_; }
  uint64_t bytes_in_use() const { return static_cast<uint64_t>(in_use_) * bytes_; }

  // A chunk of zeros with one holder. Throws Error(kOutOfMemory) when all are held.
  std::byte* take();
  // One holder more or less. REQUIRES: `chunk` is held; the same for shared().
  void hold(const std::byte* chunk);
  void let_go(const std::byte* chunk);
  bool shared(const std::byte* chunk) const { return holders_[index(chunk)] > 1; }

 private:
  size_t index(const std::byte* chunk) const {
    return static_cast<size_t>(chunk - memory_.data()) / stride_;
  }

  uint64_t bytes_;
  uint64_t stride_;  // from a chunk to the next: large ones begin with a huge page
  int64_t chunks_;
  int64_t in_use_ = 0;
  MemoryRegion memory_;
  std::vector<int32_t> holders_;  // of each chunk that was ever taken
  std::vector<size_t> free_;      // of these, the ones that nobody holds
};

}  // namespace st
