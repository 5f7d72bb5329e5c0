#include "engine/copied_text.h"

#include <algorithm>
#include <bit>

namespace st {
namespace {

constexpr int64_t kRuns[] = {5, 2};  // tokens that are looked up, a rare run first
constexpr size_t kSlots = size_t{1} << 16;
constexpr double kKeep = 0.98;  // of a count, when the next comes

}  // namespace

void CopiedText::begin() {
  ends_.assign(kSlots, 0);
  followed_ = place_ = agreeing_ = 0;
}

// Of the run of `tokens` tokens before `end`. FNV-1a, of tokens instead of bytes.
size_t CopiedText::slot(std::span<const Token> text, int64_t end, int64_t tokens) const {
  uint64_t hash = 0xCBF29CE484222325;
  for (int64_t i = end - tokens; i < end; ++i) {
    hash = (hash ^ static_cast<uint64_t>(text[static_cast<size_t>(i)])) * 0x100000001B3;
  }
  return static_cast<size_t>((hash ^ hash >> 32) % kSlots);
}

void CopiedText::follow(std::span<const Token> text) {
  const bool counts = followed_ > 0;
  for (; followed_ < std::ssize(text); ++followed_) {
    const Token token = text[static_cast<size_t>(followed_)];
    const bool right = place_ > 0 && text[static_cast<size_t>(place_)] == token;
    if (place_ > 0 && counts) {
      Seen& seen = seen_[static_cast<size_t>(std::bit_width(static_cast<uint64_t>(agreeing_)))];
      seen = {seen.right * kKeep + (right ? 1 : 0), seen.all * kKeep + 1};
    }
    if (right) {
      ++place_;
      agreeing_ = std::min(agreeing_ + 1, kMost);
    } else {
      find(text, followed_ + 1);
    }
    remember(text, followed_ + 1);
  }
}

// What agrees with the text before `end` is known by comparing, whatever the hash says.
void CopiedText::find(std::span<const Token> text, int64_t end) {
  place_ = agreeing_ = 0;
  for (const int64_t run : kRuns) {
    const int64_t there = end >= run ? ends_[slot(text, end, run)] : 0;
    int64_t same = 0;
    const auto token = [&](int64_t before) { return text[static_cast<size_t>(before - 1 - same)]; };
    while (same < std::min(there, kMost) && token(there) == token(end)) ++same;
    if (same < kRuns[std::size(kRuns) - 1] || same <= agreeing_) continue;
    place_ = there;
    agreeing_ = same;
  }
}

void CopiedText::remember(std::span<const Token> text, int64_t end) {
  for (const int64_t run : kRuns) {
    if (end >= run) ends_[slot(text, end, run)] = static_cast<int32_t>(end);
  }
}

double CopiedText::chance(int64_t ahead) const {
  const auto agreeing = static_cast<uint64_t>(std::min(agreeing_ + ahead, kMost));
  const Seen& seen = seen_[static_cast<size_t>(std::bit_width(agreeing))];
  return seen.right / seen.all;
}

}  // namespace st
