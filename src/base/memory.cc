#include "base/memory.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/round.h"

namespace st {
namespace {

constexpr uint64_t kHugePage = uint64_t{2} << 20;

// From `p` to the first multiple of `unit`.
uint64_t gap(const std::byte* p, uint64_t unit) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  return round_up<uint64_t>(address, unit) - address;
}

// ---- Calls of a kernel with pages of `page` bytes, whatever those of ours have ----
// Memory begins at a page; a call that does not begin at one changes nothing, and the length of one
// that does is rounded up.

void unmap(std::byte* p, uint64_t bytes, uint64_t page) {
  if (bytes > 0 && gap(p, page) == 0) ::munmap(p, round_up(bytes, page));
}

void give_back(std::byte* p, uint64_t bytes, uint64_t page) {
  if (gap(p, page) == 0) ::madvise(p, round_up(bytes, page), MADV_DONTNEED);
}

// `bytes`: whole pages. Null, with errno, if there is no such memory.
std::byte* map(uint64_t bytes, uint64_t page) {
  const uint64_t ours = page_size();
  const uint64_t spare = page - ours;
  void* p = ::mmap(nullptr, bytes + spare, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(p);
  const uint64_t before = gap(begin, page);
  unmap(begin, before, ours);
  unmap(begin + before + bytes, spare - before, ours);
  return begin + before;
}

}  // namespace

uint64_t page_size() {
  static const auto size = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

uint64_t huge_page_size(uint64_t page) {
  const uint64_t huge = page / sizeof(uint64_t) * page;  // what a page of entries describes
  return huge <= kHugePage ? huge : 0;
}

MemoryRegion::MemoryRegion(uint64_t bytes, uint64_t page) : size_(bytes), page_(page) {
  if (bytes == 0) return;
  const uint64_t spare = bytes >= kHugePage ? kHugePage - page : 0;
  const uint64_t pages = round_up(bytes, page);
  data_ = map(pages + spare, page);
  if (data_ == nullptr) {
    fail(ErrorCode::kOutOfMemory, "cannot allocate {} bytes: {}", bytes, std::strerror(errno));
  }
  if (spare == 0) return;
  const uint64_t before = gap(data_, kHugePage);
  unmap(data_, before, page);
  data_ += before;
  unmap(data_ + pages, spare - before, page);
}

MemoryRegion::~MemoryRegion() { unmap(data_, size_, page_); }

MemoryRegion::MemoryRegion(MemoryRegion&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      page_(other.page_) {}

MemoryRegion& MemoryRegion::operator=(MemoryRegion&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(page_, other.page_);
  return *this;
}

void MemoryRegion::prefer_huge_pages() {
  if (data_ == nullptr) return;
  // A hint: refusal is fine.
  ::madvise(data_, size_, huge_page_size(page_) > 0 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

void MemoryRegion::prefer_huge_pages(uint64_t offset, uint64_t bytes) {
  const uint64_t huge = huge_page_size(page_);
  if (huge == 0) return;
  const uint64_t begin = round_up(offset, huge);
  const uint64_t end = (offset + bytes) / huge * huge;
  if (begin < end) ::madvise(data_ + begin, end - begin, MADV_HUGEPAGE);
}

void MemoryRegion::avoid_huge_pages() {
  if (data_ != nullptr) ::madvise(data_, size_, MADV_NOHUGEPAGE);
}

// Inwards: what shares a page with the part is not part of it.
void MemoryRegion::discard(uint64_t offset, uint64_t bytes) {
  const uint64_t begin = round_up(offset, page_);
  const uint64_t end = (offset + bytes) / page_ * page_;
  if (begin < end) give_back(data_ + begin, end - begin, page_);
}

void give_back_freed() {
#if defined(__GLIBC__)
  ::malloc_trim(0);
#elif defined(M_PURGE)  // Android
  ::mallopt(M_PURGE, 0);
#endif
}

}  // namespace st
