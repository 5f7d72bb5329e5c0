#include "base/memory.h"

#include <malloc.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace st {
namespace {

constexpr uint64_t kPage = 4096, kHugePage = uint64_t{2} << 20;

uint64_t up_to(uint64_t unit, uint64_t n) { return (n + unit - 1) / unit * unit; }

}  // namespace

MemoryRegion::MemoryRegion(uint64_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  const uint64_t spare = bytes >= kHugePage ? kHugePage - kPage : 0;
  const uint64_t mapped = up_to(kPage, bytes) + spare;
  void* p = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    fail(ErrorCode::kOutOfMemory, "cannot allocate {} bytes: {}", bytes, std::strerror(errno));
  }
  data_ = static_cast<std::byte*>(p);
  if (spare == 0) return;
  const uint64_t before =
      up_to(kHugePage, reinterpret_cast<uintptr_t>(p)) - reinterpret_cast<uintptr_t>(p);
  if (before > 0) ::munmap(data_, before);
  data_ += before;
  if (before < spare) ::munmap(data_ + up_to(kPage, bytes), spare - before);
}

MemoryRegion::~MemoryRegion() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

MemoryRegion::MemoryRegion(MemoryRegion&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MemoryRegion& MemoryRegion::operator=(MemoryRegion&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void MemoryRegion::prefer_huge_pages() {
  if (data_ != nullptr) ::madvise(data_, size_, MADV_HUGEPAGE);  // a hint: refusal is fine
}

void MemoryRegion::discard(uint64_t offset, uint64_t bytes) {
  const uint64_t begin = up_to(kPage, offset);
  const uint64_t end = (offset + bytes) / kPage * kPage;
  if (begin < end) ::madvise(data_ + begin, end - begin, MADV_DONTNEED);
}

void give_back_freed() {
#if defined(__GLIBC__)
  ::malloc_trim(0);
#elif defined(M_PURGE)  // Android
  ::mallopt(M_PURGE, 0);
#endif
}

}  // namespace st
