#include "base/reader.h"

#include <algorithm>

namespace st {

constexpr size_t kReadBuffer = size_t{64} << 10;

void Reader::read(void* out, size_t count, std::string_view what) {
  if (count > remaining()) {
    fail(ErrorCode::kInvalidData, "truncated: need {} bytes for {} at {}, {} left", count, what,
         position_, remaining());
  }
  auto* destination = static_cast<std::byte*>(out);
  while (count > 0) {
    const uint64_t in_buffer = position_ - buffer_begin_;
    if (position_ < buffer_begin_ || in_buffer >= buffer_.size()) {
      if (count >= kReadBuffer) {  // large reads go straight to their destination
        source_.read_at(position_, std::span(destination, count));
        position_ += count;
        return;
      }
      buffer_.resize(static_cast<size_t>(std::min<uint64_t>(kReadBuffer, remaining())));
      buffer_begin_ = position_;
      source_.read_at(position_, buffer_);
      continue;
    }
    const size_t n = static_cast<size_t>(std::min<uint64_t>(count, buffer_.size() - in_buffer));
    std::memcpy(destination, buffer_.data() + in_buffer, n);
    destination += n;
    position_ += n;
    count -= n;
  }
}

void Reader::skip(uint64_t count, std::string_view what) {
  if (count > remaining()) {
    fail(ErrorCode::kInvalidData, "truncated: need {} bytes for {} at {}, {} left", count, what,
         position_, remaining());
  }
  position_ += count;
}

}  // namespace st
