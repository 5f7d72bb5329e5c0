// A large zeroed region straight from the operating system: pages cost memory only once touched.
// One of 2 MiB or more begins with a huge page, so that how many of them it has does not depend on
// where it happens to be.
#pragma once

#include <cstddef>
#include <cstdint>

namespace st {

// What the system gives and takes back memory in: 4 KiB nearly everywhere, 16 or 64 on some ARM
// machines.
uint64_t page_size();

// What MemoryRegion's large pages have where small ones have `page` bytes; 0: there are none. With
// 16 KiB or more a huge page has 32 MiB or more, and is not asked for.
uint64_t huge_page_size(uint64_t page = page_size());

class MemoryRegion {
 public:
  MemoryRegion() = default;
  // Throws Error(kOutOfMemory). `page`: a multiple of the system's, for tests; the region then is
  // treated as a kernel with such pages treats it.
  explicit MemoryRegion(uint64_t bytes, uint64_t page = page_size());
  ~MemoryRegion();
  MemoryRegion(MemoryRegion&& other) noexcept;
  MemoryRegion& operator=(MemoryRegion&& other) noexcept;

  // For memory that will be filled whole: fewer TLB misses. Not for memory that should grow slowly.
  void prefer_huge_pages();
  // The same for the huge pages that lie within a part.
  void prefer_huge_pages(uint64_t offset, uint64_t bytes);
  // For memory of which parts come and go: none takes more than its pages.
  void avoid_huge_pages();

  // Gives the whole pages of a part back to the system; they are zero when touched again.
  void discard(uint64_t offset, uint64_t bytes);

  std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
  uint64_t page_ = 1;
};

// Has the allocator return to the system what it keeps of freed memory, if it knows how to.
void give_back_freed();

}  // namespace st
