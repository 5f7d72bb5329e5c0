// The memory of the pickle machine: values, the stack with its marks, and the memo. Private to
// pickle.cc. Every failure is an Error(kInvalidData) without a place; the machine adds it.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "format/pickle.h"

namespace st {

class PickleStack {
 public:
  using Items = std::vector<PickleRef>;

  PickleValue& operator[](PickleRef ref) { return values_[ref]; }
  std::vector<PickleValue> take_values() { return std::move(values_); }
  bool empty() const { return stack_.empty() && marks_.empty(); }

  // Makes a value and pushes it.
  void push(PickleKind kind, int64_t integer = 0, std::string_view text = {}, Items items = {}) {
    if (values_.size() == PickleLimits::kValues) {
      fail(ErrorCode::kInvalidData, "more than {} values", PickleLimits::kValues);
    }
    stack_.push_back(static_cast<PickleRef>(values_.size()));
    values_.push_back({kind, integer, text, std::move(items)});
  }

  void mark() { marks_.push_back(stack_.size()); }

  PickleRef top() const {
    need(1);
    return stack_.back();
  }
  PickleRef pop() {
    const PickleRef ref = top();
    stack_.pop_back();
    return ref;
  }
  Items pop_items(size_t count) {
    need(count);
    Items items(stack_.end() - static_cast<ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }
  Items pop_to_mark() {
    if (marks_.empty()) fail(ErrorCode::kInvalidData, "stack underflow (no mark)");
    Items items = pop_items(stack_.size() - marks_.back());
    marks_.pop_back();
    return items;
  }

  // Memo entry `index` becomes the top of the stack, which stays.
  void memo_put(uint32_t index) {
    if (index >= PickleLimits::kValues) {
      fail(ErrorCode::kInvalidData, "memo index {} >= {}", index, PickleLimits::kValues);
    }
    if (index >= memo_.size()) memo_.resize(index + 1, kUnset);
    if (memo_[index] == kUnset) ++memo_used_;
    memo_[index] = top();
  }
  void memo_append() { memo_put(memo_used_); }
  void memo_get(uint32_t index) {
    if (index >= memo_.size() || memo_[index] == kUnset) {
      fail(ErrorCode::kInvalidData, "memo index {} is not set", index);
    }
    stack_.push_back(memo_[index]);
  }

 private:
  static constexpr PickleRef kUnset = UINT32_MAX;

  // What lies below the newest mark is out of reach.
  void need(size_t count) const {
    if (stack_.size() - (marks_.empty() ? 0 : marks_.back()) < count) {
      fail(ErrorCode::kInvalidData, "stack underflow");
    }
  }

  std::vector<PickleValue> values_;
  Items stack_;
  std::vector<size_t> marks_;  // sizes of stack_
  Items memo_;                 // values or kUnset
  uint32_t memo_used_ = 0;
};

}  // namespace st
