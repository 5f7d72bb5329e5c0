#include "base/chunk_memory.h"

#include "base/error.h"
#include "base/round.h"

namespace st {
namespace {

uint64_t stride_of(uint64_t bytes, uint64_t page) {
  const uint64_t huge = huge_page_size(page);
  return huge > 0 && bytes >= huge ? round_up(bytes, huge) : bytes;
}

}  // namespace

ChunkMemory::ChunkMemory(uint64_t bytes, int64_t chunks, uint64_t page)
    : bytes_(round_up(bytes, page)),
      stride_(stride_of(bytes_, page)),
      chunks_(chunks),
      memory_(static_cast<uint64_t>(chunks) * stride_, page) {
  memory_.avoid_huge_pages();
}

std::byte* ChunkMemory::take() {
  if (in_use_ == chunks_) fail(ErrorCode::kOutOfMemory, "all {} chunks are in use", chunks_);
  if (free_.empty()) {
    free_.push_back(holders_.size());
    holders_.push_back(0);
    // Those that are whole huge pages of the chunk: one that is shared with a neighbour would be
    // there for as long as either of them.
    memory_.prefer_huge_pages(free_.back() * stride_, bytes_);
  }
  const size_t i = free_.back();
  free_.pop_back();
  holders_[i] = 1;
  ++in_use_;
  return memory_.data() + i * stride_;
}

void ChunkMemory::hold(const std::byte* chunk) { ++holders_[index(chunk)]; }

void ChunkMemory::let_go(const std::byte* chunk) {
  const size_t i = index(chunk);
  if (--holders_[i] > 0) return;
  memory_.discard(i * stride_, bytes_);
  free_.push_back(i);
  --in_use_;
}

}  // namespace st
