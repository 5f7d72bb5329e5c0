// Memory for weights and scratch: aligned for the widest vector unit, uninitialised. Large buffers
// come straight from the operating system and go back to it at once; what an allocator keeps for
// later would not be there for anything else that a memory budget has to hold.
#pragma once

#include <cstdlib>
#include <memory>
#include <new>
#include <span>

#include "base/error.h"
#include "base/memory.h"

namespace st {

inline constexpr size_t kAlignment = 64;

template <typename T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Throws Error(kOutOfMemory) instead of std::bad_alloc, with the size that was refused.
  explicit AlignedBuffer(size_t count) : size_(count) {
    if (count == 0) return;
    if (count > SIZE_MAX / sizeof(T) - kAlignment) fail(ErrorCode::kOutOfMemory, "size overflows");
    const size_t bytes = (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    if (bytes >= kLarge) {
      large_ = MemoryRegion(bytes);
      return;
    }
    small_.reset(static_cast<T*>(std::aligned_alloc(kAlignment, bytes)));
    if (!small_) fail(ErrorCode::kOutOfMemory, "cannot allocate {} bytes", bytes);
  }

  T* data() { return large_.data() ? reinterpret_cast<T*>(large_.data()) : small_.get(); }
  const T* data() const { return const_cast<AlignedBuffer*>(this)->data(); }
  size_t size() const { return size_; }
  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return data()[i]; }
  std::span<T> span() { return {data(), size_}; }
  std::span<const T> span() const { return {data(), size_}; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  static constexpr size_t kLarge = size_t{1} << 20;

  std::unique_ptr<T, Free> small_;
  MemoryRegion large_;
  size_t size_ = 0;
};

}  // namespace st
