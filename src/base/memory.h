// A large zeroed region straight from the operating system: pages cost memory only once touched.
// One of 2 MiB or more begins with a huge page, so that how many of them it has does not depend on
// where it happens to be.
#pragma once

#include <cstddef>
#include <cstdint>

namespace st {

class MemoryRegion {
 public:
  MemoryRegion() = default;
  // Throws Error(kOutOfMemory).
  explicit MemoryRegion(uint64_t bytes);
  ~MemoryRegion();
  MemoryRegion(MemoryRegion&& other) noexcept;
  MemoryRegion& operator=(MemoryRegion&& other) noexcept;

  // For memory that will be filled whole: fewer TLB misses. Not for memory that should grow slowly.
  void prefer_huge_pages();

  // Gives the whole pages of a part back to the system; they are zero when touched again.
  void discard(uint64_t offset, uint64_t bytes);

  std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

// Has the allocator return to the system what it keeps of freed memory, if it knows how to.
void give_back_freed();

}  // namespace st
