// A bounded cursor over a ByteSource: the only arithmetic our binary parsers do on file offsets.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace st {

// Sequential little-endian reads from [begin, end) of a source through a small buffer.
class Reader {
 public:
  explicit Reader(const ByteSource& source) : Reader(source, 0, source.size()) {}
  Reader(const ByteSource& source, uint64_t begin, uint64_t end)
      : source_(source), position_(begin), end_(end) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return end_ - position_; }

  // `what` names the thing being read in the error: "truncated: need N bytes for WHAT, M left".
  void read(void* out, size_t count, std::string_view what);
  void skip(uint64_t count, std::string_view what);

  template <typename T>
    requires std::is_trivially_copyable_v<T>
  T get(std::string_view what) {
    T value;
    read(&value, sizeof(T), what);
    return value;
  }

 private:
  const ByteSource& source_;
  uint64_t position_;
  uint64_t end_;
  std::vector<std::byte> buffer_;
  uint64_t buffer_begin_ = 0;  // file offset of buffer_[0]
};

// a * b and a + b, or an Error(kInvalidData) that says what overflowed.
inline uint64_t checked_mul(uint64_t a, uint64_t b, std::string_view what) {
  uint64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) {
    fail(ErrorCode::kInvalidData, "{} {} x {} overflows", what, a, b);
  }
  return result;
}
inline uint64_t checked_add(uint64_t a, uint64_t b, std::string_view what) {
  uint64_t result = 0;
  if (__builtin_add_overflow(a, b, &result)) {
    fail(ErrorCode::kInvalidData, "{} {} + {} overflows", what, a, b);
  }
  return result;
}

}  // namespace st
