// Memory for weights and scratch: aligned for the widest vector unit, uninitialised.
#pragma once

#include <cstdlib>
#include <memory>
#include <new>
#include <span>

#include "base/error.h"

namespace st {

inline constexpr size_t kAlignment = 64;

template <typename T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Throws Error(kOutOfMemory) instead of std::bad_alloc, with the size that was refused.
  explicit AlignedBuffer(size_t count) : size_(count) {
    if (count == 0) return;
    const size_t bytes = (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    if (count > SIZE_MAX / sizeof(T) - kAlignment) fail(ErrorCode::kOutOfMemory, "size overflows");
    data_.reset(static_cast<T*>(std::aligned_alloc(kAlignment, bytes)));
    if (!data_) fail(ErrorCode::kOutOfMemory, "cannot allocate {} bytes", bytes);
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  size_t size() const { return size_; }
  T& operator[](size_t i) { return data_.get()[i]; }
  const T& operator[](size_t i) const { return data_.get()[i]; }
  std::span<T> span() { return {data(), size_}; }
  std::span<const T> span() const { return {data(), size_}; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  size_t size_ = 0;
};

}  // namespace st
